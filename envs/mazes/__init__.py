"""The multi-goal mazes, for a point and for an ant."""
