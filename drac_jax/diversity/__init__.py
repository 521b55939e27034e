"""What the action samples of one state say: distances, kernels, entropy."""
