"""Networks, and how critics learn: perceptrons, twin critics, the optimizer."""
