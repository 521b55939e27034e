"""What saved runs hold: the config, the policy, the agent, what broke them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from drac_jax.algorithms.registry import METHODS
from drac_jax.runs.execution.breakdown import post_mortem
from drac_jax.runs.pretrained import shipped
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup.experiment import Experiment, RunConfig
from drac_jax.runs.storage import packed_agent, run_folder
from drac_jax.runs.storage.checkpoint import Checkpoints
from drac_jax.training.schedule import TrainConfig
from drac_jax.training.wrappers.wrapping import wrapped
from drac_jax.types import Algorithm, EnvSpec, Transition

Policy = Callable[[jax.Array, jax.Array], jax.Array]


def read_identity(place: Path) -> dict[str, Any]:
    """Read a run's config.json. place: its folder, or that file. Raises ValueError where the folder
    is not a run."""
    path = place if place.is_file() else place / run_folder.CONFIG
    identity = run_folder.read_json(path)
    if missing := {"experiment", "preset", "config"} - identity.keys():
        raise ValueError(f"{path} is not a run's config.json: it has no {sorted(missing)[0]!r}")
    return identity | {"config": exp.renamed(identity["config"])}


def config_of(experiment: Experiment, identity: dict[str, Any]) -> RunConfig:
    """Rebuild the configuration that a run was started with."""
    return exp.from_dict(experiment.config(identity["preset"]), identity["config"])


def load_policy(path: str | Path, member: int = 0, best: bool = False) -> Policy:
    """Load a trained policy: (obs, key) -> action, a sample of it.

    path: a run folder, or `pretrained:NAME` for a policy that comes with the package; member:
    which of its seeds (and grid points), from 0; best: not the newest, but the one whose evaluation
    after an epoch had the highest return. The policy takes obs [O] or [N, O] and a typed key, and
    returns [A] or [N, A] in [-1, 1]; where the actor sees some columns of obs alone, these will do.
    Raises ValueError where the folder holds no policy; so does the policy for obs of another size.
    """
    folder = shipped.place(path)
    algorithm, agent = load_agent(folder, member, best)
    spec = read_identity(folder)["spec"]

    @jax.jit
    def policy(obs: jax.Array, key: jax.Array) -> jax.Array:
        action = algorithm.act(agent, _whole_obs(spec, jnp.atleast_2d(obs), jnp.shape(obs)), key)
        return action[0] if jnp.ndim(obs) == 1 else action

    return policy


def _whole_obs(spec: dict[str, Any], obs: jax.Array, given: tuple[int, ...]) -> jax.Array:
    """Put columns that the actor sees among zeros, which nothing reads; all columns stay. obs: with
    a batch axis; given: its shape as the user has it."""
    size, (first, end) = spec["obs_size"], spec.get("actor_obs") or (0, spec["obs_size"])
    if given[-1:] == (size,):
        return obs
    if given[-1:] != (end - first,):
        seen = f" (or the actor's columns {first}:{end} of it)" if end - first < size else ""
        raise ValueError(
            f"the policy takes obs [{size}] or [N, {size}] of {spec['name']}{seen}, not "
            f"{list(given)}"
        )
    low, high = spec.get("critic_obs") or (0, size)
    if METHODS[spec["method"]].acts_with_critics and not first <= low < high <= end:
        raise ValueError(
            f"{spec['method']} acts with its critics, which see more of obs than its actor: give "
            f"the whole obs [{size}], not {list(given)}"
        )
    return jnp.zeros((*obs.shape[:-1], size)).at[..., first:end].set(obs)


def load_agent(
    folder: Path, member: int, best: bool = False, **changes: Any
) -> tuple[Algorithm, Any]:
    """Load one member's agent and the algorithm that acts with it; changes: of the method's
    options, such that the agent stays as it is. Raises ValueError as `load_policy` does."""
    identity = read_identity(folder)
    algorithm, one = _agent_of(identity, **changes)
    count = _count_members(identity["config"])
    if not 0 <= member < count:
        raise ValueError(f"member={member} must be in 0..{count - 1}: the run has {count}")
    place, inside = run_folder.find_member(folder, identity["config"], count, member)
    if place != folder:
        return load_agent(place, inside, best, **changes)
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), one)
    agents, _ = newest_agent(folder, like, best)
    return algorithm, jax.tree.map(lambda x: x[member], agents)


def _agent_of(identity: dict[str, Any], **changes: Any) -> tuple[Algorithm, Any]:
    """-> the algorithm of a run, and the shapes of one member's agent."""
    method = METHODS[identity["spec"]["method"]]
    kept = identity["spec"]  # which has what a policy needs of it
    sizes = {name: kept[name] for name in EnvSpec._fields if name in kept}
    views = {name: tuple(v) for name, v in sizes.items() if isinstance(v, list)}  # JSON's
    options = replace(exp.from_dict(method.options, identity["config"]["algorithm"]), **changes)
    hparams = exp.from_dict(method.hparams, identity["config"]["hparams"])
    train = exp.from_dict(TrainConfig(), identity["config"]["train"])
    algorithm = wrapped(method.make(EnvSpec(**sizes | views), options), train)
    one = jax.eval_shape(lambda: algorithm.init(jax.random.key(0), hparams, sizes["obs_size"]))
    return algorithm, one


class PostMortem(NamedTuple):
    """What broke a run: `update(agent, batch, key)` gives what is not finite. update: of the
    algorithm, or its slow one; agent: the last finite one; batch: leaves [M, B, ...]."""

    update: Callable[[Any, Transition, jax.Array], tuple[Any, dict[str, jax.Array]]]
    agent: Any
    batch: Transition
    key: jax.Array
    report: str


def load_post_mortem(path: str | Path) -> PostMortem:
    """Load what is kept of a run whose learning broke down. path: its folder. Raises ValueError
    where nothing is."""
    folder, (algorithm, one) = Path(path), _agent_of(read_identity(Path(path)))
    place = folder / run_folder.POST_MORTEM
    if not place.exists():
        raise ValueError(f"{folder} has no {place.name}: its learning did not break down")
    agent, batch, key, is_slow, report = post_mortem.read(place, one)
    update = algorithm.slow_update if is_slow else algorithm.update
    assert update is not None  # as the one that broke was taken
    return PostMortem(update, agent, batch, key, report)


def _count_members(config: dict[str, Any]) -> int:
    count = config["seeds"]
    for values in config["grid"].values():
        count *= len(values)
    return count // config["chunks"] if config.get("chunk") else count


def newest_agent(folder: Path, like: Any, best: bool = False) -> tuple[Any, int]:
    """Read the newest agent, or the best, that can be read, and its epoch; a run's files are left
    as they are. That of a pretrained policy is its last."""
    if (packed := folder / packed_agent.NAME).exists():
        last = read_identity(folder)["config"]["train"]["epochs"]
        return packed_agent.read(packed, like), last
    place = folder / (run_folder.BEST if best else run_folder.CHECKPOINTS)
    numbers = []
    if place.exists():
        checkpoints = Checkpoints(place, create=False)
        numbers = checkpoints.numbers()
    for epoch in numbers:
        try:
            return checkpoints.restore_agent(epoch, like), epoch
        except Exception:  # Orbax raises whatever its storage does; the one before may do
            continue
    if best:
        raise ValueError(f"{folder} has no best agents that can be read; leave best out")
    raise ValueError("there is no checkpoint that can be read; train first, or wait an epoch")
