"""From the values of an experiment to a run that can be compiled."""
