"""Export a trained policy: as a pure function of an observation and a latent, in a file that plays
without this project, checked against the policy itself before it gets its name."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from drac_jax.runs import saved_agent
from drac_jax.runs.export import jax_file, numpy_file, onnx_file
from drac_jax.runs.export.numpy_policy import Policy
from drac_jax.runs.export.program import trace
from drac_jax.runs.hardware import machine
from drac_jax.types import Algorithm, EnvSpec

SUFFIXES = {"onnx": ".onnx", "jax": ".jax", "numpy": ".npz"}
MODES = ("sample", "mode")
TOLERANCE = 1e-5  # of an action, whose range is [-1, 1]
ROWS = 256  # observations of the check; the first alone once more
TIES = 0.01  # share of them whose best two samples may have the same value to rounding, in a mode


class Portable(NamedTuple):
    """A policy as a function of float32 arrays of N rows.

    function: (obs [N, O], latent [N, Z]) -> action [N, A], of the mode without latent;
    names, sizes: of its inputs; reference: (obs of the whole size, key) -> latents [N, Z] and the
    policy's own action; columns: of the observation that it takes; about: what is known of it.
    """

    function: Callable[..., jax.Array]
    names: list[str]
    sizes: list[int]
    reference: Callable[[jax.Array, jax.Array], tuple[list[jax.Array], jax.Array]]
    columns: slice
    about: dict[str, Any]


class Exported(NamedTuple):
    """path: the file; error: of an action, the largest of the check; ties: rows of the check in
    which a mode took another of its samples, of the same value; about: its metadata."""

    path: Path
    error: float
    ties: int
    about: dict[str, Any]


def export(
    folder: Path,
    to: str,
    member: int = 0,
    mode: str = "sample",
    out: Path | None = None,
    force: bool = False,
) -> Exported:
    """Write a member's policy as a file of the format `to`; out: its path, by default
    `export/member_<member>_<mode>` in the run's folder.

    Products are in float32, however they were in training. Raises ValueError for a run that cannot
    be exported, a format whose packages are not installed, a file that exists unless `force`, and
    actions that are not the policy's to 1e-5.
    """
    if to not in SUFFIXES:
        raise ValueError(f"to={to} is unknown; use one of {', '.join(SUFFIXES)}")
    if mode not in MODES:
        raise ValueError(f"mode={mode} is unknown; use one of {', '.join(MODES)}")
    if to == "onnx":
        onnx_file.require()
    portable = load(folder, member, mode)
    path = out or folder / "export" / f"member_{member}_{mode}{SUFFIXES[to]}"
    beside = {"jax": path.with_suffix(".json"), "numpy": path.with_name(numpy_file.LOADER.name)}
    for place in [path] if to == "onnx" else [path, beside[to]]:
        if place.exists() and not force and not _is_loader(place):
            raise ValueError(f"{place} exists; choose another with --out, or use --force")
    draft = path.with_name(f"{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        play = write(portable, to, draft)
        error, ties = check(portable, play)
        draft.replace(path)
        if to == "jax":
            beside[to].write_text(json.dumps(portable.about, indent=1) + "\n")
        elif to == "numpy":
            shutil.copyfile(numpy_file.LOADER, beside[to])
    except OSError as problem:
        raise ValueError(f"cannot write {path}: {problem.strerror}; choose --out") from None
    finally:
        if draft.is_file():
            draft.unlink()
    return Exported(path, error, ties, portable.about)


def _is_loader(place: Path) -> bool:
    """Say whether a file is the loader as it would be written again."""
    return place.read_bytes() == numpy_file.LOADER.read_bytes() if place.is_file() else False


def write(portable: Portable, to: str, path: Path) -> Callable[..., Any]:
    """Write a policy in the format `to`. -> its function, as it is loaded from there."""
    if to == "jax":
        jax_file.write(portable.function, portable.sizes, path)
        return jax_file.player(path)
    program = trace(portable.function, portable.sizes)
    if to == "numpy":
        numpy_file.write(program, portable.about, path)
        return Policy(path)
    onnx_file.write(program, portable.names, portable.sizes, portable.about, path)
    return onnx_file.player(path)


def check(portable: Portable, play: Callable[..., Any]) -> tuple[float, int]:
    """Compare actions with the policy's at observations of several scales, in a batch and alone.

    -> the largest error, and the ties. Raises ValueError where it is above 1e-5.
    """
    spec = portable.about
    scales = np.array([0.1, 1.0, 3.0, 10.0], np.float32)[np.arange(ROWS) % 4, None]
    obs = scales * np.random.default_rng(0).standard_normal((ROWS, spec["env_obs_size"]))
    obs = obs.astype(np.float32)
    inputs, wanted = jax.jit(portable.reference)(jnp.asarray(obs), jax.random.key(0))
    given = [obs[:, portable.columns], *map(np.asarray, inputs)]
    errors = np.abs(np.asarray(play(*given)) - np.asarray(wanted)).max(axis=1)
    alone = np.asarray(play(*(x[:1] for x in given)))
    errors[0] = max(errors[0], np.abs(alone - np.asarray(wanted[:1])).max())
    apart = errors > TOLERANCE
    if spec["mode"] == "sample" or apart.sum() > TIES * ROWS:
        apart[:] = False
    error = float(np.max(errors[~apart]))
    if not error <= TOLERANCE:
        raise ValueError(
            f"the export's actions differ from the policy's by {error:.1e}, more than "
            f"{TOLERANCE:.0e}; nothing was written"
        )
    return error, int(apart.sum())


def load(folder: Path, member: int, mode: str) -> Portable:
    """Load a member's policy as a function of arrays. Raises ValueError as `export` does."""
    identity = saved_agent.read_identity(folder)
    if "spec" not in identity:
        raise ValueError(f"{folder} has no policy yet: its config.json has no 'spec'; train first")
    kept = {name: identity["spec"][name] for name in EnvSpec._fields if name in identity["spec"]}
    algorithm, agent = saved_agent.load_agent(folder, member, precision="float32")
    portable = of_agent(algorithm, agent, EnvSpec(**kept), mode)
    facts = machine.environment_facts()
    about = {
        "environment": kept["name"],
        **portable.about,
        "method": identity["spec"]["method"],
        "run": f"{identity['experiment']}/{folder.resolve().name}",
        "member": member,
        "versions": facts["versions"],
        "git_commit": facts["git_commit"],
    }
    return portable._replace(about=about)


def of_agent(algorithm: Algorithm, agent: Any, spec: EnvSpec, mode: str) -> Portable:
    """Make a policy a function of arrays. Raises ValueError for a method that does not say what its
    actions are drawn of."""
    if mode == "mode":
        return _narrowed(_of_mode(algorithm, agent, spec), spec)
    if algorithm.latent is None or algorithm.decide is None:
        raise ValueError("this method does not say what it draws; use --mode mode")
    draw, decide = algorithm.latent, algorithm.decide
    leaves, tree = jax.tree.flatten(jax.eval_shape(lambda: draw(jax.random.key(0), (1,))))
    lengths = [math.prod(leaf.shape[1:]) for leaf in leaves]

    def function(obs: jax.Array, latent: jax.Array) -> jax.Array:
        parts, start = [], 0
        for leaf, length in zip(leaves, lengths, strict=True):
            part = jax.lax.slice_in_dim(latent, start, start + length, axis=1)
            parts.append(part.reshape(obs.shape[0], *leaf.shape[1:]).astype(leaf.dtype))
            start += length
        return decide(agent, obs, jax.tree.unflatten(tree, parts))

    def reference(obs: jax.Array, key: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        rows = len(obs)
        drawn = [x.reshape(rows, -1) for x in jax.tree.leaves(draw(key, (rows,)))]
        latent = jnp.concatenate([x.astype(jnp.float32) for x in drawn], axis=1)
        return [latent], algorithm.act(agent, obs, key)

    latent = [(*law_of(law), n) for law, n in zip(algorithm.laws, lengths, strict=True)]
    sizes = [spec.obs_size, sum(lengths)]
    about = _about(spec, "sample", latent)
    whole = slice(0, spec.obs_size)
    portable = Portable(function, ["obs", "latent"], sizes, reference, whole, about)
    return _narrowed(portable, spec)


def _of_mode(algorithm: Algorithm, agent: Any, spec: EnvSpec) -> Portable:
    def function(obs: jax.Array) -> jax.Array:
        return algorithm.mode(agent, obs)

    def reference(obs: jax.Array, key: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        return [], function(obs)

    whole, about = slice(0, spec.obs_size), _about(spec, "mode", [])
    return Portable(function, ["obs"], [spec.obs_size], reference, whole, about)


def _about(spec: EnvSpec, mode: str, latent: list[tuple]) -> dict[str, Any]:
    return {
        "obs_size": spec.obs_size,
        "env_obs_size": spec.obs_size,
        "obs_columns": [0, spec.obs_size],
        "action_size": spec.action_size,
        "action_bounds": [-1.0, 1.0],
        "mode": mode,
        "latent_size": sum(part[-1] for part in latent),
        "latent": [list(part) for part in latent],
    }


def law_of(words: str) -> tuple[str, float | None, float | None]:
    """Read a law as `Algorithm.laws` has it: its name and its bounds."""
    name, *bounds = words.split()
    low, high = map(float, bounds) if bounds else (0.0, 1.0) if name == "uniform" else (None, None)
    return name, low, high


def _narrowed(portable: Portable, spec: EnvSpec) -> Portable:
    """Take the actor's columns of the observation alone, where the others change nothing."""
    if spec.actor_obs is None:
        return portable
    first, last = spec.actor_obs
    place = np.eye(spec.obs_size, dtype=np.float32)[first:last]
    obs = 10.0 * np.random.default_rng(0).standard_normal((ROWS, spec.obs_size), np.float32)
    latents = [np.full((ROWS, size), 0.5, np.float32) for size in portable.sizes[1:]]
    seen, all_seen = (
        portable.function(jnp.asarray(x), *latents) for x in (obs @ place.T @ place, obs)
    )
    if not np.array_equal(seen, all_seen):
        return portable

    def function(obs: jax.Array, *latent: jax.Array) -> jax.Array:
        return portable.function(jnp.matmul(obs, place, precision="highest"), *latent)

    size = last - first
    about = portable.about | {"obs_size": size, "obs_columns": [first, last]}
    sizes = [size, *portable.sizes[1:]]
    return portable._replace(
        function=function, sizes=sizes, columns=slice(first, last), about=about
    )
