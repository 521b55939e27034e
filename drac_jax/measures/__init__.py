"""Measures of finished episodes and of seeds, on NumPy arrays."""
