"""The wheel alone, without the clone, has all that the clone has, and does it."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.commands import TINY

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("drac_jax", "envs", "experiments")
FOR_READERS = {".png", ".ipynb"}  # which no program opens
PRETRAINED = sorted(path.parent.name for path in ROOT.glob("drac_jax/runs/pretrained/*/agent.npz"))
# Loads a policy from each argument, and says where the packages lie.
LOAD = """
import sys
import drac_jax, envs, experiments, jax, numpy as np
for name, size in (word.split("=") for word in sys.argv[1:]):
    action = drac_jax.load_policy(name)(np.zeros((3, int(size)), np.float32), jax.random.key(0))
    assert action.shape[0] == 3 and np.abs(action).max() <= 1.0, (name, action)
print(*(package.__file__ for package in (drac_jax, envs, experiments)), sep="\\n")
"""


class Installed(NamedTuple):
    """A virtual environment that has the wheel, in an empty folder."""

    folder: Path
    wheel: Path

    def run(self, program: str, *words: object) -> str:
        """Run a program of the environment. -> what it printed."""
        line = [self.folder / "venv" / "bin" / program, *map(str, words)]
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(line, cwd=self.folder, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def tracked_files() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    return [name for name in listing.stdout.split("\0") if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    """Build sdist and wheel of the tracked files, and install the wheel. Its dependencies are the
    test's own; a path file does not make a clone visible that is installed in place."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked_files():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    build = [sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "source"]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(folder / "source")
    (wheel,) = (folder / "dist").glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    dependencies = [place for place in sys.path if Path(place).name == "site-packages"]
    (site / "dependencies.pth").write_text("\n".join(dependencies))
    return Installed(folder, wheel)


def test_wheel_has_what_git_tracks(installed):
    kept = {n for n in zipfile.ZipFile(installed.wheel).namelist() if n.startswith(PACKAGES)}
    kept = {name for name in kept if ".dist-info/" not in name}
    tracked = {name for name in tracked_files() if name.startswith(PACKAGES)}
    assert kept == {name for name in tracked if Path(name).suffix not in FOR_READERS}


def test_commands_are_found(installed):
    assert "multigoal" in installed.run("drac-jax", "list")
    assert "usage: drac-jax run" in installed.run("drac-jax", "run", "--help")
    assert "multigoal_compare" in installed.run("drac-jax", "study")


def test_policy_is_trained_saved_and_loaded(installed):
    said = installed.run("drac-jax", *TINY)
    (run,) = (installed.folder / "runs" / "multigoal_amortized").iterdir()
    assert "trajectories.png" in said and (run / "trajectories.png").is_file()
    assert '"git_commit": null' in (run / "summary.json").read_text()
    places = installed.run("python", "-c", LOAD, f"{run}=2").splitlines()
    assert len(places) == len(PACKAGES)
    assert all(Path(place).is_relative_to(installed.folder / "venv") for place in places)


def test_policies_that_come_with_the_package_load(installed):
    sizes = {"multigoal": 2, "pointmaze": 4, "hopper": 11}
    named = [f"pretrained:{name}={sizes[name.partition('_')[0]]}" for name in PRETRAINED]
    assert len(named) > 1
    installed.run("python", "-c", LOAD, *named)
