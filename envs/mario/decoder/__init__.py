"""The level decoder: its network, its weights, and the import of others' weights."""
