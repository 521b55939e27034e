"""Training of the level decoder."""
