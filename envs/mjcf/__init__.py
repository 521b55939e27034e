"""Robots of one's own: a MuJoCo model in a file, its reward in a few lines of another."""
