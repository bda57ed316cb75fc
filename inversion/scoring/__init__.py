"""What honest judges make of inverted images; arrays in, figures out, without torch."""
