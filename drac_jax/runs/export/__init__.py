"""A trained policy as a file that runs without this project: ONNX, StableHLO, or NumPy."""
