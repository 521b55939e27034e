"""The sizes of a training loop, as the contenders of `bench end_to_end --brax-env` are told."""

import argparse


def options(description: str) -> argparse.Namespace:
    """Parse them. All hidden layers are 256x2."""
    words = argparse.ArgumentParser(description=description.splitlines()[0])
    words.add_argument("--env", default="hopper")
    words.add_argument("--num-envs", type=int, default=64)
    words.add_argument("--updates", type=int, default=16, help="after each step of all of them")
    words.add_argument("--batch", type=int, default=256)
    words.add_argument("--capacity", type=int, default=100_000, help="transitions in the replay")
    words.add_argument("--iterations", type=int, default=10, help="per figure")
    return words.parse_args()
