"""Environments that others wrote, by name or as objects."""
