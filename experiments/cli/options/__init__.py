"""What words mean: options of every command, of the machine, and of several methods."""
