"""How far float32 may round from what tests expect: every such number, as a measured error and a
multiple of it.

`python -m tests.support.tolerances` measures the errors again, on this processor made to act as
several: it runs the tests that read the table under each of ROUNDINGS and prints the largest error
that each row saw. It takes as long as they do, so arguments may name fewer
(`tests/parity/test_sac.py`, or `-m slow` for humanoids and devices). `DRAC_SHOW_ROUNDING=1 pytest
-s` prints those of one run.
"""

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

SHOW = "DRAC_SHOW_ROUNDING"
SHOWN = re.compile(r"^rounding \| (.+) \| (\S+)$", re.MULTILINE)
# What compilers make of one program: other orders of sums, vectors of other widths, with fused
# multiplications and without.
ROUNDINGS = {
    "level 1": "--xla_backend_optimization_level=1",
    "level 0": "--xla_backend_optimization_level=0",
    "level 3": "--xla_backend_optimization_level=3",
    "AVX2": "--xla_backend_optimization_level=1 --xla_cpu_max_isa=AVX2",
    "SSE4.2": "--xla_backend_optimization_level=1 --xla_cpu_max_isa=SSE4_2",
}
EPSILON = np.finfo(np.float32).eps

SMOOTH = 10.0
PGS = (
    "Gymnasium solves Humanoid by PGS, which stops 1.5e-3 from where it would converge to, so that "
    "little of this is rounding (4e-4); a force that is 1 % off must not pass"
)
LOOPS = "contacts make rounding grow up to millions of times: how far is measured in each run"
SEEDS = (
    "gradients of log distances are steep between near samples, so in an epoch rounding grows 300 "
    "to 1e7 times, in each seed otherwise: how far is measured in each run; 1.4 is of 40 members"
)
NUDGED = "both programs round nearly alike here: measured is what actions a rounding off lead to"
IN_TURN = (
    "a CPU takes members in turn and rounds them the same, so measured is one rounding; an "
    "accelerator takes them side by side, and a run amplifies it"
)
DOUBLE = "nothing that float64 rounds comes near what a wrong formula does"


class Row(NamedTuple):
    """measured: the largest error that the tests saw under ROUNDINGS. why: of a multiple that is
    not SMOOTH, and of what is measured where that is no plain difference."""

    measured: float
    unit: str
    multiple: float = SMOOTH
    why: str = ""

    @property
    def tolerance(self) -> float:
        return self.measured * self.multiple


VALUE = "of 1 + |value|"
ROBOT = "of 1 + the largest value of a step"
APART = "of how far apart they come that start, or step, a rounding off"
TABLE = {
    # parity/test_point_maze, test_perturb: position and reward in m, velocity in m/s.
    "maze step, position": Row(1.1e-6, "m"),
    "maze step, velocity in the open": Row(7.0e-7, "m/s"),
    "maze step, velocity at walls": Row(1.3e-4, "m/s"),
    "maze step, reward": Row(1.2e-5, ""),
    "maze environment, position": Row(7.0e-6, "m"),
    "maze environment, velocity": Row(7.1e-5, "m/s"),
    "maze open loop, authors, position": Row(3.4e-4, "m"),
    "maze open loop, authors, velocity": Row(4.0e-3, "m/s"),
    "maze open loop, farama, position": Row(1.1e-4, "m"),
    "maze open loop, farama, velocity": Row(6.8e-4, "m/s"),
    "map among others": Row(2.0e-4, VALUE, SMOOTH, NUDGED),
    # parity/test_locomotion: observation and reward count as velocity.
    "ant step, position": Row(8.6e-7, ROBOT),
    "ant step, velocity": Row(6.6e-5, ROBOT),
    "halfcheetah step, position": Row(3.0e-6, ROBOT),
    "halfcheetah step, velocity": Row(5.7e-5, ROBOT),
    "hopper step, position": Row(9.6e-8, ROBOT),
    "hopper step, velocity": Row(1.5e-5, ROBOT),
    "humanoid step, position": Row(2.3e-6, ROBOT),
    "humanoid step, velocity": Row(6.4e-5, ROBOT),
    "humanoid step, contact forces": Row(1.5e-3, ROBOT, 4.0, PGS),
    "swimmer step, position": Row(1.2e-7, ROBOT),
    "swimmer step, velocity": Row(3.5e-6, ROBOT),
    "walker2d step, position": Row(5.4e-7, ROBOT),
    "walker2d step, velocity": Row(1.3e-5, ROBOT),
    "robot open loop, 10 steps": Row(1.5e-5, ROBOT),
    "ant open loop": Row(34.0, APART, SMOOTH, LOOPS),
    "robot open loop": Row(2.2, APART, SMOOTH, LOOPS),
    # envs/engines/test_warp_engine
    "warp step, motion": Row(2.7e-4, ROBOT),
    "warp step, forces": Row(2.9e-3, ROBOT),
    # parity/test_{drac,sac,sql,s2ac,dacer,diffusion,multigoal,mario}
    "drac values": Row(2.2e-7, VALUE),
    "drac gradients": Row(1.7e-7, VALUE),
    "drac weights": Row(5.5e-8, VALUE),
    "drac further updates": Row(2.2e-7, VALUE),
    "sac values": Row(4.3e-7, VALUE),
    "sac gradients": Row(5.8e-8, VALUE),
    "sac weights": Row(4.3e-8, VALUE),
    "sac further updates": Row(1.8e-7, VALUE),
    "squashed gaussian, float32": Row(2.9e-7, VALUE),
    "squashed gaussian, float64": Row(1.9e-11, VALUE),
    "sql values": Row(1.0e-5, VALUE),
    "sql gradients": Row(7.1e-6, VALUE),
    "sql weights": Row(2.5e-8, VALUE),
    "s2ac values": Row(1.5e-6, VALUE),
    "s2ac gradients": Row(5.5e-8, VALUE),
    "s2ac weights": Row(1.9e-8, VALUE),
    "dacer values": Row(4.5e-7, VALUE),
    "dacer gradients": Row(9.7e-8, VALUE),
    "dacer weights": Row(2.0e-8, VALUE),
    "dacer mixture": Row(6.3e-6, VALUE),
    "diffusion chain, float32": Row(3.5e-7, VALUE),
    "diffusion chain, float64": Row(1.2e-15, VALUE, 100.0, DOUBLE),
    "updates, float64": Row(1.1e-13, VALUE, 100.0, DOUBLE),
    "multigoal": Row(2.2e-6, VALUE),
    "mario js": Row(8.1e-8, VALUE),
    "mario kl": Row(1.1e-6, VALUE),
    "mario multifacet": Row(2.6e-7, VALUE),
    "mario puzzle": Row(5.3e-6, VALUE),
    "mario probability": Row(3.3e-6, VALUE),
    # common/test_algorithms, test_{train,parts,devices}: one program, compiled in two ways
    "one update, compiled": Row(3.7e-6, VALUE),
    "member after ten updates": Row(1.2e-5, VALUE),
    "member of a run": Row(1.4, APART, SMOOTH, SEEDS),
    "sweep in chunks": Row(1.2e-7, VALUE, 1000.0, IN_TURN),
    "devices": Row(4.3e-6, VALUE),
}


def leaves_of(tree: Any) -> list[np.ndarray]:
    """Return the arrays of a tree, PRNG keys as their words."""

    def words(x: Any) -> np.ndarray:
        is_key = hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    return [words(x) for x in jax.tree.leaves(tree)]


def a_rounding_off(tree: Any, seed: int) -> Any:
    """Move every float32 of a tree by one rounding, up or down."""
    rng = np.random.default_rng(seed)

    def moved(x: jax.Array) -> jax.Array:
        if x.dtype != np.float32:
            return x
        return x * (1.0 + rng.choice(np.float32([-EPSILON, EPSILON]), x.shape))

    return jax.tree.map(moved, tree)


def error_of(ours: Any, theirs: Any) -> float:
    """Measure the largest |ours - theirs| / (1 + |theirs|); integers and keys must be the same."""
    pairs = zip(leaves_of(ours), leaves_of(theirs), strict=True)
    return float(np.max([leaf_error(*pair) for pair in pairs]))


def leaf_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    if theirs.dtype.kind != "f":
        np.testing.assert_array_equal(ours, theirs)
        return 0.0
    ours, theirs = ours.astype(float), theirs.astype(float)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return np.where(same, 0.0, np.abs(ours - theirs) / (1.0 + np.abs(theirs))).max(initial=0.0)


def assert_within(name: str, error: Any) -> None:
    """Hold an error, or the largest of several, against its row of the table."""
    error, row = float(np.max(error)), TABLE[name]
    if os.environ.get(SHOW):
        print(f"\nrounding | {name} | {error:.1e}", file=sys.__stdout__, flush=True)
    assert error <= row.tolerance, (
        f"{name}: {error:.1e} is more than {row.multiple:g} x the measured {row.measured:.1e} "
        f"{row.unit}"
    )


def readers() -> list[str]:
    """Find the tests that read the table."""
    files = sorted(Path(__file__).parents[1].rglob("test_*.py"))
    uses = re.compile(r"assert_within\(|reference\.case\(")
    return [str(path) for path in files if uses.search(path.read_text("utf-8"))]


def measure(arguments: list[str]) -> None:
    """Run tests under each of ROUNDINGS and print the largest errors, row by row."""
    seen: dict[str, dict[str, float]] = defaultdict(dict)
    for rounding, flags in ROUNDINGS.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-s", *(arguments or readers())],
            env=os.environ | {SHOW: "1", "XLA_FLAGS": flags},
            stdout=subprocess.PIPE,
            text=True,
        )
        print(f"{rounding}: {done.stdout.rstrip().rsplit('\n', 1)[-1]}", flush=True)
        for name, error in SHOWN.findall(done.stdout):
            seen[name][rounding] = max(float(error), seen[name].get(rounding, 0.0))
    for name, errors in seen.items():
        largest = max(errors, key=errors.__getitem__)
        print(
            f"{name}: {errors[largest]:.1e} ({largest}); the table has {TABLE[name].measured:.1e}"
        )


if __name__ == "__main__":
    measure(sys.argv[1:])
