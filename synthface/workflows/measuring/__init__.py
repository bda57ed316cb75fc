"""The parts of ``synthface measure``."""
