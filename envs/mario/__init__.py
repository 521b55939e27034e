"""MarioLevelGen: a level that grows by one segment of 16 x 16 tiles in every step."""
