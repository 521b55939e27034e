"""Physics engines that step MuJoCo models."""
