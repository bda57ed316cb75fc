"""The parts of ``synthface evaluate``."""
