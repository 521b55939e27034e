"""Make a pretrained policy of a run folder: python -m drac_jax.runs.pretrained.pack_run --help"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from tyro.conf import Positional

from drac_jax.runs import saved_agent
from drac_jax.runs.pretrained import shipped
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.storage import packed_agent, run_folder
from drac_jax.types import Algorithm

# Of the check that a policy does what its source says, in as many episodes as that has.
ERRORS = 4.0  # standard errors that its mean return may be off
SLACK = 0.05  # of the return, at least
CERTAIN = 7  # arrivals at a goal, from which on another evaluation misses it with p = exp(-7)


@dataclass(frozen=True)
class Pack:
    """Make a pretrained policy of one member of a finished run."""

    run: Positional[Path]  # its folder
    command: str  # that made it, as a user types it
    name: str | None = None  # of the policy; its experiment's if unnamed
    member: int = 0  # which of the run's seeds and grid points, from 0
    to: Path = shipped.FOLDER  # the folder of the policies


def pack(asked: Pack) -> Path:
    """Write config.json, agent.npz and source.json. -> their folder. Raises ValueError where the
    run is not finished, or has no such member."""
    identity = saved_agent.read_identity(asked.run)
    summary = run_folder.read_json(asked.run / run_folder.SUMMARY)
    algorithm, agent = saved_agent.load_agent(asked.run, asked.member)
    result = summary["seeds"][asked.member]
    folder = asked.to / (asked.name or identity["experiment"])
    folder.mkdir(parents=True, exist_ok=True)
    kept = acted_upon(algorithm, agent, identity["spec"]["obs_size"])
    packed_agent.write(folder / packed_agent.NAME, agent, kept)
    own = {"config": _of_member(identity["config"], result)}
    run_folder.write_json(folder / run_folder.CONFIG, identity | own)
    episodes = identity["config"]["eval"]["final_episodes"]
    arrivals = _arrivals(asked, identity["spec"]["num_goals"])
    source = {
        "command": asked.command,
        "member": asked.member,
        "env_steps": identity["config"]["train"]["env_steps"],
        "evaluation": {"episodes": episodes} | result | {"arrivals_at_goals": arrivals},
        "expected": expected(result, episodes, arrivals),
        **{name: identity[name] for name in ("versions", "device", "git_commit")},
        "packed": date.today().isoformat(),
    }
    run_folder.write_json(folder / shipped.SOURCE, source)
    return folder


def acted_upon(algorithm: Algorithm, agent: Any, obs_size: int) -> set[str]:
    """Name the leaves of an agent that its samples or its mode are computed from."""
    obs, key = jnp.zeros((1, obs_size)), jax.random.key(0)
    traced = (
        jax.make_jaxpr(lambda agent: algorithm.act(agent, obs, key))(agent),
        jax.make_jaxpr(lambda agent: algorithm.mode(agent, obs))(agent),
    )
    names, kept = list(packed_agent.leaves(agent)), set()
    for jaxpr in (closed.jaxpr for closed in traced):
        read = {id(var) for eqn in jaxpr.eqns for var in eqn.invars}
        kept |= {name for name, var in zip(names, jaxpr.invars, strict=True) if id(var) in read}
    return kept


def expected(result: Mapping[str, Any], episodes: int, arrivals: Sequence[int]) -> dict[str, Any]:
    """State what another evaluation of as many episodes must find: the interval of their mean
    return, and the number of goals that it cannot miss."""
    mean, std = result["eval/return"], result["eval/return_std"]
    off = max(ERRORS * std * (2.0 / episodes) ** 0.5, SLACK * abs(mean))
    goals = sum(count >= CERTAIN for count in arrivals)
    return {"episodes": episodes, "return": [mean - off, mean + off], "goals": goals}


def _arrivals(asked: Pack, num_goals: int) -> list[int]:
    """Count the final episodes that ended at each goal; nothing where there are none."""
    path = asked.run / run_folder.EPISODES
    if not (num_goals and path.exists()):
        return []
    goals = np.load(path)["goals"][asked.member]
    return np.bincount(goals, minlength=num_goals + 1)[1:].tolist()


def _of_member(config: dict[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Make a run's configuration that of one member alone. result: has its seed and grid point."""
    point = {name: result[name] for name in config["grid"]}
    own = {"hparams": config["hparams"] | point, "seeds": 1, "seed": result["seed"]}
    return exp.renamed(config) | own | {"grid": {}, "chunks": 0, "chunk": 0}


def main() -> int:
    """Pack what the command line names. -> the exit code."""
    try:
        folder = pack(tyro.cli(Pack))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = (folder / packed_agent.NAME).stat().st_size
    print(f"{folder}: {size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
