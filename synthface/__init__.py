"""synthface: generate, invert and audit synthetic face data."""

__version__ = "0.1.0"
