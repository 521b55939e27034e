"""What a run writes: its folder, its checkpoints, its console lines."""
