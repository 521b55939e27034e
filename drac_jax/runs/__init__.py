"""Runs: the only code that touches files, clocks, signals and processes."""
