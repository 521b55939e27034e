"""Every command of the README and the site is read to its end by the real command line, which stops
where the work would begin."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.storage import run_folder
from experiments import find
from experiments.cli.commands.bench_command import SUITES
from experiments.cli.main import COMMANDS, main
from tests.support.pages import commands, expand

WORK = {  # module -> what it does when all has been read
    "experiments.cli.commands.train_command": ("_train", "describe"),
    "experiments.cli.commands.compare_command": ("describe",),
    "experiments.cli.commands.tune_command": ("describe",),
    "experiments.cli.commands.study_command": ("_several", "_report"),
    "experiments.studies.run_queue": ("work",),
    "experiments.studies.slurm_jobs": ("submit",),
    "drac_jax.runs.saved_run": ("evaluate", "play", "play_perturbed"),
    "experiments.cli.commands.saved_run_commands": ("_evaluate_in_gymnasium",),
    "drac_jax.runs.export.policy_file": ("export",),
    "envs.mario.decoder_training.train_decoder": ("run",),
    **{f"experiments.throughput.suites.{name}": ("measure",) for name, _ in SUITES.values()},
}
OF_ANOTHER_TEST = "docs/extend/your_own_robot.md"  # tests/envs/mjcf/test_own_robot_page.py
LINES = sorted({line for page, line in commands() if page != OF_ANOTHER_TEST})


class AllRead(Exception):
    """The work would begin now."""


def begin(*args: Any, **kwargs: Any) -> NoReturn:
    raise AllRead


def leave_run(folder: Path, experiment: str) -> None:
    """Write what a command reads of a run before it plays it."""
    config, made = find(experiment).config(), find(experiment)
    spec = made.make_env(config.env, False).spec
    kept = {key: getattr(spec, key) for key in ("name", "obs_size", "action_size", "max_steps")}
    identity = {"experiment": experiment, "preset": "default", "config": exp.to_dict(config)}
    folder.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(
        folder / run_folder.CONFIG, identity | {"spec": kept | {"method": made.method}}
    )


@pytest.mark.heavy
@pytest.mark.parametrize("line", LINES)
def test_a_command_is_read_to_its_end(line, tmp_path, monkeypatch, capsys):
    for module, names in WORK.items():
        for name in names:
            monkeypatch.setattr(import_module(module), name, begin)
    runs = expand(line)
    monkeypatch.chdir(tmp_path)
    for words in runs:
        module, rest = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
        if module != "experiments":
            assert find_spec(module) is not None
            continue
        if rest in (["export"], ["render"], ["robustness"], ["evaluate"]):
            continue  # the name of a target, in running text
        rest = [word.replace("<id>", "1") for word in rest]
        for experiment in re.findall(r"runs/(\w+)/1", " ".join(rest)):
            leave_run(tmp_path / "runs" / experiment / "1", experiment)
        if "my_task.py" in rest:
            assert main(["new-env", "my_task"]) == 0
        dry = ["--dry-run"] if rest[0] in ("compare", "tune") and "--dry-run" not in rest else []
        try:
            code = main(rest + dry)
        except AllRead:
            code = 0
        assert code == 0, capsys.readouterr().err


def test_every_command_is_told_of():
    expanded = [words for line in LINES for words in expand(line) if "experiments" in words]
    assert {words[words.index("experiments") + 1] for words in expanded} == set(COMMANDS)


def test_an_option_that_there_is_not_is_found():
    words = expand('make run ARGS="--train.num-envz 4 --dry-run"')[0]
    assert main(words[words.index("experiments") + 1 :]) == 2
