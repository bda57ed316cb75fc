"""Images from a trained generator: fast on a CPU, and the same bytes in whatever company they are drawn."""
