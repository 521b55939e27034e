"""Other implementations that benchmarks run beside ours."""
