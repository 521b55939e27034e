"""The range of every number that a user may set, by the name of its field: checked in one place,
before an environment is made, a list of members is built, or anything is compiled."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

INT32, UINT32 = 2**31 - 1, 2**32 - 1
FLOAT32 = 3.4e38  # hyperparameters are float32; above it they would be infinite
MOST_MEMBERS = 2**16
WEEK = 7 * 24 * 3600.0


class Range(NamedTuple):
    """From `low` to `high`. said: how a message puts it; above: `low` itself is left out."""

    low: float
    high: float
    said: str
    above: bool = False

    def problem(self, value: Any) -> str | None:
        """Say what a value must be, where it is not that."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "must be a number"
        if not math.isfinite(value):
            return f"must be finite and {self.said}" if self.said else "must be finite"
        if value > self.high and not self.said.startswith("in "):
            return f"must be at most {self.high:.10g}"
        if value < self.low or value > self.high or (self.above and value == self.low):
            return f"must be {self.said or f'at least {self.low:.10g}'}"
        return None


def _from(low: int, high: int = INT32) -> Range:
    return Range(low, high, f"at least {low}")


COUNT = _from(1)
# A budget may exceed an int32: a float64 counts that far.
BUDGET = _from(1, 2**53)
POSITIVE = Range(0.0, FLOAT32, "above 0", above=True)
FRACTION = Range(0.0, 1.0, "in (0, 1]", above=True)
AT_LEAST_0 = Range(0.0, FLOAT32, "at least 0")
FINITE = Range(-FLOAT32, FLOAT32, "")

RANGES: dict[str, Range] = {
    # A run. A key takes 32 bits of a seed.
    **dict.fromkeys(["seeds", "checkpoint_every"], COUNT),
    **dict.fromkeys(["chunks", "chunk"], _from(0)),
    "seed": Range(0, UINT32, f"in 0..{UINT32}"),
    # Its training and its episodes.
    **dict.fromkeys(["env_steps", "replay_capacity"], BUDGET),
    **dict.fromkeys(["num_envs", "steps_per_iteration", "updates_per_iteration"], COUNT),
    "action_repeat": _from(1, 2**10),
    **dict.fromkeys(["batch_size", "n_step", "strata", "hold_steps", "epochs"], COUNT),
    "learning_starts": BUDGET,
    **dict.fromkeys(["held_envs", "lr_warmup"], _from(0)),
    "max_grad_norm": Range(0.0, FLOAT32, "at least 0 (0 clips nothing)"),
    "lr_final": Range(0.0, 1.0, "in [0, 1]"),
    **dict.fromkeys(["episodes", "final_episodes", "sr5_groups", "maps", "walls"], COUNT),
    "member": _from(0),
    # A search of hyperparameters.
    **dict.fromkeys(["trials", "batch", "last_epochs"], COUNT),
    "stop_share": FRACTION,
    # Methods. What is unrolled, or grows as a square, is bounded closer.
    **dict.fromkeys(["hidden", "latent_size"], _from(1, 2**16)),
    **dict.fromkeys(["num_samples", "particles", "candidates"], _from(2, 2**10)),
    **dict.fromkeys(["q_samples", "steps", "svgd_steps"], _from(1, 2**10)),
    **dict.fromkeys(["mixture_components", "entropy_samples"], _from(1, 2**16)),
    "entropy_period": COUNT,
    "bins": _from(2, 2**12),
    # Hyperparameters. Of beta, `diversity.check_beta` knows more: it depends on the actions.
    **dict.fromkeys(["actor_lr", "critic_lr", "svgd_lr", "alpha", "alpha_init"], POSITIVE),
    "alpha_lr": Range(0.0, FLOAT32, "at least 0 (0 fixes alpha)"),
    **dict.fromkeys(["gamma", "tau", "diversity_fraction"], FRACTION),
    **dict.fromkeys(["beta", "target_entropy"], FINITE),
    **dict.fromkeys(["noise_scale", "exploration_noise", "target_noise", "noise_clip"], AT_LEAST_0),
    "reward_scale": POSITIVE,
    # Environments; the ant maze knows how small its cells may be.
    "cell_scale": Range(0.0, 1000.0, "above 0", above=True),
    # Devices, processes, and the time they are given.
    "seconds": Range(0.0, 10 * 365 * 24 * 3600.0, "above 0", above=True),
    "hours": Range(0.0, WEEK / 3600.0 * 52, "above 0", above=True),
    **dict.fromkeys(["devices", "workers"], _from(1, 2**12)),
    "port": Range(1, 65_535, "in 1..65535"),
    "num_processes": _from(1, 2**16),
    "process_id": _from(0),
    "coordinator_timeout": Range(0.0, WEEK, "above 0", above=True),
}


def check_number(name: str, value: Any, path: str = "") -> None:
    """Raise ValueError for a value outside of the range of the field `name`. path: how the message
    calls it."""
    if problem := RANGES[name].problem(value):
        text = f"{value:g}" if isinstance(value, float) else str(value)
        raise ValueError(f"{path or name}={text} {problem}")


def check(config: Any, path: str = "") -> None:
    """Raise ValueError, naming field, value and range, for a number of a configuration that is
    out of its range. Goes into configurations within it, and into the values of a grid."""
    for name, where, value in _values(config, path):
        if name not in RANGES:
            continue
        several = value if isinstance(value, tuple | list) else (value,)
        if not several:
            raise ValueError(f"{where} has no values; give at least one")
        for one in several:
            check_number(name, one, where)


def _values(config: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Yield name, path and value of all fields."""
    held = (
        config
        if isinstance(config, Mapping)
        else {field.name: getattr(config, field.name) for field in fields(config)}
    )
    for name, value in held.items():
        where = f"{path}.{name}" if path else name
        if not getattr(value, "ranged", True):  # another's options, whose numbers it judges itself
            continue
        if isinstance(value, Mapping) or is_dataclass(value):
            yield from _values(value, where)
        else:
            yield name, where, value
