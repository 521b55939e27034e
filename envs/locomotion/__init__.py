"""Gymnasium's locomotion tasks."""
