"""The parts of ``synthface train-recognizer``."""
