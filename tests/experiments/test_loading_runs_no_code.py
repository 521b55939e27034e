"""What SECURITY.md says: loading a policy runs no code that its folder holds or names."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from drac_jax import load_policy
from drac_jax.runs.pretrained import shipped
from drac_jax.runs.storage import packed_agent
from tests.support.commands import command


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def folder(tmp_path):
    """A run on a file of its own, which leaves `ran` behind when it is run."""
    place = shutil.copytree(shipped.place("pretrained:multigoal_amortized"), tmp_path / "run")
    code = place / "mine.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef make_env(): return None\n")
    config = json.loads((place / "config.json").read_text())
    config["experiment"] = f"amortized-on-{code}"
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_loading_a_policy_runs_no_file_that_the_run_names(folder):
    action = load_policy(folder)(jnp.zeros(2), jax.random.key(0))
    assert action.shape == (2,) and command("export", folder, "--to", "numpy").code == 0
    assert not (folder.parent / "ran").exists()


def test_evaluating_a_run_does_run_the_file_of_its_environment(folder):
    command("evaluate", folder)
    assert (folder.parent / "ran").exists()


def test_arrays_with_pickled_objects_are_refused(folder):
    path = folder / packed_agent.NAME
    with np.load(path) as file:
        arrays = dict(file) | {"more": np.array([Bomb(folder.parent / "ran")], dtype=object)}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_policy(folder)
    assert not (folder.parent / "ran").exists()
