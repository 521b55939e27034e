"""Trained policies that come with the package, each in a folder: how they came about is in its
source.json."""
