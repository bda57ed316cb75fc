"""Generator and discriminators, from single layers up."""
