"""Exit codes of the command line."""

BAD_INPUT = 2  # and a method that broke down
INTERRUPTED = 130  # as shells report Ctrl-C
