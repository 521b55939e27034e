"""The training loop: rollout, replay, update, evaluation, and sweeps of them, as pure functions."""
