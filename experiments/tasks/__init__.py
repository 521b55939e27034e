"""The experiments of each domain."""
