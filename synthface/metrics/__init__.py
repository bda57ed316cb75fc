"""Verification metrics and their intervals: float64 arrays in, numbers out; free of torch."""
