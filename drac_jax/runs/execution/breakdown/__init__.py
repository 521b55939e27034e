"""When learning or an environment breaks down: what did it, and what is left to look at."""
