"""A run in progress: compile, train, evaluate, save, stop, resume."""
