"""Level generation as an experiment: its temperatures, measures and pictures."""

import pytest
from PIL import Image

from drac_jax.runs.storage import run_folder
from envs.mario.decoder.network import save_weights
from experiments import EXPERIMENTS
from experiments.cli.main import main
from tests.support import toys

TINY = (
    "--algorithm.hidden 8 8 --train.env-steps 200 --train.num-envs 4 --train.batch-size 8 "
    "--train.learning-starts 1 --train.epochs 1 --train.updates-per-iteration 1 "
    "--eval.episodes 2 --eval.final-episodes 4"
)


def test_every_method_of_the_paper_trains_at_its_three_temperatures():
    grids = {
        name.removeprefix("mario_puzzle_"): dict(experiment.config().grid)
        for name, experiment in EXPERIMENTS.items()
        if name.startswith("mario_puzzle_")
    }
    beta, entropy = {"beta": (0.2, 0.5, 0.8)}, {"target_entropy": (-20.0, -5.0, 10.0)}
    assert grids == {
        "amortized": beta,
        "diffusion": beta,
        "diffusion5": beta,
        "flow": beta,  # not of the paper, as the amortized actor
        "sac": entropy,
        "dacer": entropy,
        "sql": {"alpha": (0.05, 0.175, 0.3)},
        "s2ac": {"alpha": (0.1, 0.4, 0.7)},
        "sdac": {"alpha": (0.05, 0.175, 0.3)},  # not of the paper, as SQL
        "td3": {},  # not of the paper
    }


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison, of one method for the sake of time, with a decoder of random weights."""
    folder = tmp_path_factory.mktemp("mario")
    save_weights(folder / "decoder.npz", toys.level_decoder())
    words = ["compare", "mario_multifacet", "--algos", "sac", "--runs-dir", folder]
    words += [*TINY.split(), "--env.decoder", folder / "decoder.npz"]
    assert main([str(word) for word in words]) == 0
    (place,) = (folder / "compare_mario_multifacet").iterdir()
    return place


@pytest.mark.slow
def test_run_leaves_levels_that_can_be_looked_at(compared):
    for name in ("levels.png", "continuations.png"):
        assert Image.open(compared / "sac" / name).size[0] > 300
    assert Image.open(compared / "sac" / "level.gif").n_frames > 20


@pytest.mark.slow
def test_members_have_a_return_and_a_diversity(compared):
    seeds = run_folder.read_json(compared / "sac" / "summary.json")["seeds"]
    assert [seed["target_entropy"] for seed in seeds] == [-20.0, -5.0, 10.0]
    assert all(seed["eval/diversity"] >= seed["eval/diversity_gmean"] >= 0.0 for seed in seeds)


@pytest.mark.slow
def test_comparison_has_rows_by_temperature_and_hypervolumes(compared):
    table = (compared / "compare.md").read_text()
    for row in ("| sac, target_entropy -20 |", "| sac, target_entropy 10 |", "| hypervolume |"):
        assert row in table
    assert (compared / "quality_diversity.png").exists()
