"""The compile time of the last run of the same shape, kept beside the compilation cache."""

import hashlib
import json
from pathlib import Path

import jax

from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.setup.run_setup import RunSetup
from drac_jax.runs.storage import run_folder

FOLDER = "compile_times"


def last(setup: RunSetup) -> float | None:
    """Look up the seconds of the last time, of a setup whose programs have the same shape."""
    path = _path(setup)
    try:
        return json.loads(path.read_text())["seconds"] if path else None
    except (OSError, ValueError, KeyError):
        return None


def keep(setup: RunSetup, seconds: float) -> None:
    """Remember the seconds, where there is a cache; a folder that takes no files is no reason to
    stop."""
    if (path := _path(setup)) is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            run_folder.write_json(path, {"seconds": seconds})
        except OSError:
            return


def _path(setup: RunSetup) -> Path | None:
    """Name a setup by what its programs depend on: neither seeds nor hyperparameters."""
    cache = jax.config.jax_compilation_cache_dir
    if not cache or not jax.config.jax_enable_compilation_cache:
        return None
    config = setup.config
    shapes = [exp.to_dict(part) for part in (config.env, config.algorithm, config.train)]
    place = [setup.mesh.devices.shape, setup.mesh.devices.flat[0].device_kind]
    parts = [setup.experiment.name, len(setup.members.seeds), *place, *shapes]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return Path(cache) / FOLDER / f"{name}.json"
