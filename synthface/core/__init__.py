"""Foundations without torch: errors, seeds, hashes, atomic folders, run records."""
