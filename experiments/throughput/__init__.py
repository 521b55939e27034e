"""Benchmarks: contenders of one run side by side, compile time apart."""
