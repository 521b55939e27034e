"""Suites of whole training: acting, stepping, replay and updates together."""
