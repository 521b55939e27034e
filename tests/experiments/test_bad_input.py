"""Command lines with a value that cannot be: one line that names it, and nothing left behind."""

import math
from dataclasses import fields, is_dataclass
from typing import get_args

import pytest

from drac_jax.algorithms.registry import METHODS
from drac_jax.measures.wall_robustness import RobustnessConfig
from drac_jax.ranges import RANGES
from drac_jax.runs.setup import experiment as exp
from drac_jax.runs.storage import run_folder
from experiments import EXPERIMENTS, find
from experiments.cli.main import main

HUGE = "9" * 20
NAME = "multigoal_amortized"
GRIDS = " ".join(
    f"--grid.{name} " + " ".join(["0.5"] * 300) for name in ("beta", "gamma", "tau", "alpha_init")
)
MEET = "--num-processes 2 --process-id 0 --coordinator"
BAD = [
    *((f"run {NAME} {words}", named) for words, named in [
        ("--seed -1", "seed=-1"),
        (f"--seed {HUGE}", f"seed={HUGE}"),
        ("--seed 4294967295 --seeds 2", "seed=4294967295"),
        ("--seeds 0", "seeds=0"),
        ("--seeds -3", "seeds=-3"),
        ("--seeds 100000000", "GB"),
        (f"--seeds {HUGE}", f"seeds={HUGE}"),
        (GRIDS, "grid.alpha_init of 300"),
        ("--chunks -1", "chunks=-1"),
        ("--chunk -1", "chunk=-1"),
        ("--checkpoint-every 0", "checkpoint_every=0"),
        ("--algorithm.hidden", "algorithm.hidden"),
        ("--algorithm.hidden 0", "algorithm.hidden=0"),
        ("--algorithm.hidden -4 4", "hidden=-4"),
        (f"--algorithm.hidden {HUGE}", f"hidden={HUGE}"),
        ("--algorithm.num-samples 1", "num_samples=1"),
        (f"--algorithm.num-samples {HUGE}", "num_samples"),
        ("--algorithm.q-samples 0", "q_samples=0"),
        ("--algorithm.latent-size 0", "latent_size=0"),
        ("--algorithm.diversity-fraction nan", "diversity_fraction=nan"),
        ("--algorithm.diversity-fraction 0", "diversity_fraction=0"),
        ("--hparams.actor-lr inf", "actor_lr=inf"),
        ("--hparams.critic-lr nan", "critic_lr=nan"),
        ("--hparams.critic-lr 1e39", "critic_lr=1e+39"),
        ("--hparams.alpha-lr -1", "alpha_lr=-1"),
        ("--hparams.alpha-init inf", "alpha_init=inf"),
        ("--hparams.gamma nan", "gamma=nan"),
        ("--hparams.tau 0", "tau=0"),
        ("--hparams.beta nan", "beta=nan"),
        ("--grid.gamma 0.9 inf", "grid.gamma=inf"),
        ("--grid.actor-lr 0", "grid.actor_lr=0"),
        ("--grid.beta", "grid.beta"),
        ("--train.learning-starts 0", "learning_starts=0"),
        ("--train.env-steps 0", "env_steps=0"),
        (f"--train.num-envs {HUGE}", f"num_envs={HUGE}"),
        ("--train.held-envs -1", "held_envs=-1"),
        ("--train.hold-steps 0", "hold_steps=0"),
        ("--eval.episodes 0", "eval.episodes=0"),
        ("--eval.sr5-groups -1", "eval.sr5_groups=-1"),
        ("--devices 0", "devices=0"),
        (f"--devices {HUGE}", "devices"),
        ("--coordinator-timeout nan", "--coordinator-timeout=nan"),
        ("--coordinator-timeout inf", "--coordinator-timeout=inf"),
        ("--seconds 0", "--seconds=0"),
        ("--seconds nan", "--seconds=nan"),
        ("--coordinator-timeout 0", "--coordinator-timeout=0"),
        (f"{MEET} host:0", "port=0"),
        (f"{MEET} host:65536", "port=65536"),
        ("--num-processes 0 --process-id 0 --coordinator host:1", "--num-processes=0"),
    ]),
    (f"sweep {NAME}", "--grid.NAME"),
    ("run multigoal_sac --hparams.target-entropy nan", "target_entropy=nan"),
    ("run multigoal_dacer --hparams.noise-scale -1", "noise_scale=-1"),
    ("run multigoal_dacer --algorithm.entropy-period 0", "entropy_period=0"),
    ("run multigoal_sql --algorithm.particles 1", "particles=1"),
    ("run multigoal_s2ac --hparams.svgd-lr 0", "svgd_lr=0"),
    ("run multigoal_diffusion --algorithm.steps 0", "steps=0"),
    ("run antmaze_simple_amortized --env.cell-scale nan", "cell_scale=nan"),
    ("render FOLDER --episodes 0", "--episodes=0"),
    ("render FOLDER --member -1", "--member=-1"),
    ("render FOLDER --seed -1", "--seed=-1"),
    ("evaluate FOLDER --eval.episodes 0", "eval.episodes=0"),
    ("evaluate FOLDER --eval.final-episodes -1", "eval.final_episodes=-1"),
    ("robustness FOLDER --maps 0", "maps=0"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "named"), BAD, ids=[line[:60] for line, _ in BAD])
def test_value_that_cannot_be_is_refused_in_one_line(capsys, tmp_path, line, named):
    folder, runs = tmp_path / "saved", tmp_path / "runs"
    config = exp.to_dict(find(NAME).config())
    identity = {"experiment": NAME, "preset": "default", "config": config}
    folder.mkdir()
    run_folder.write_json(folder / run_folder.CONFIG, identity)
    command, *rest = line.replace("FOLDER", str(folder)).split()
    place = ["--runs-dir", str(runs)] if command in ("run", "sweep") else []
    assert main([command, *rest, *place]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert named in said
    assert not runs.exists()
    assert [path.name for path in folder.iterdir()] == [run_folder.CONFIG]


def numbers_of(config: object) -> set[str]:
    """Name the fields that hold numbers, within other configurations too."""
    found = set()
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            found |= numbers_of(value)
        elif field.type in (int, float) or {int, float} & set(get_args(field.type)):
            found.add(field.name)
    return found


def test_every_number_of_every_configuration_has_a_range():
    configs = [config for e in EXPERIMENTS.values() for config in e.presets.values()]
    configs += [part for m in METHODS.values() for part in (m.options, m.hparams)]
    found = set().union(*(numbers_of(config) for config in [*configs, RobustnessConfig()]))
    assert {"hidden", "seed", "beta", "batch_size", "episodes", "cell_scale"} <= found
    assert found <= RANGES.keys()


@pytest.mark.parametrize("name", RANGES)
def test_no_range_takes_what_is_not_finite(name):
    assert all(RANGES[name].problem(value) for value in (math.nan, math.inf, -math.inf))
