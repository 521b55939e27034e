"""Tuning: Optuna asks for hyperparameters, and one compiled program answers a batch at a time."""
