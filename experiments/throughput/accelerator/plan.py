"""The parts, in the order of their worth, at the sizes of a large GPU and at toy size."""

from dataclasses import replace
from typing import Any, NamedTuple

from drac_jax.algorithms.registry import DracOptions
from experiments.tasks.locomotion_tasks import LocomotionOptions
from experiments.throughput.accelerator import part_measures as measures
from experiments.throughput.accelerator.part_measures import Prepare
from experiments.throughput.accelerator.return_time import time_to_return
from experiments.throughput.suites import diversity_kernel, drac_update


class Part(NamedTuple):
    """One part. environment: variables that its process is given."""

    prepare: Prepare
    environment: dict[str, str] = {}


PAPER = drac_update.Options(calls=200)
LARGE = drac_update.Options(batch=32_768, hidden=(512, 512, 512), calls=5)
TF32 = [("paired, 17", "tf32"), ("all_pairs, 6", "tf32")]
EVERY = drac_update.CONTENDERS[:2] + TF32 + [("all_pairs, 6", "bfloat16")]

WARP: dict[str, Any] = {"fidelity": "fast", "impl": "warp"}

WHOLE = {
    "simulation_ant": Part(measures.simulation("ant", (1024, 4096, 16_384), 8, fidelity="fast")),
    "simulation_warp": Part(measures.simulation("ant", (4096,), 8, **WARP)),
    "simulation_warp_many": Part(measures.simulation("ant", (16_384,), 8, **WARP)),
    "update_paper": Part(measures.update(PAPER, EVERY)),
    "update_unrolled": Part(measures.update(replace(PAPER, unroll=10), TF32, False)),
    # Whole loops as one CUDA graph.
    "update_graph": Part(
        measures.update(PAPER, TF32, False),
        {"XLA_FLAGS": "--xla_gpu_enable_command_buffer=+WHILE"},
    ),
    "update_large": Part(measures.update(LARGE, EVERY, False)),
    "train_ant": Part(measures.training("ant_amortized", "gpu", 8, 2**20)),
    "train_ant_warp": Part(
        measures.training("ant_amortized", "gpu", 8, 2**20, env=LocomotionOptions(**WARP))
    ),
    "simulation_maze": Part(measures.simulation("point_maze", (4096, 65_536), 20, layout="hard")),
    "simulation_humanoid": Part(measures.simulation("humanoid", (4096,), 4, fidelity="fast")),
    "train_humanoid": Part(measures.training("humanoid_amortized", "gpu", 4, 2**18)),
    "seeds": Part(measures.members("multigoal_amortized", "paper", 64, 50)),
    "seeds_tf32": Part(
        measures.members(
            "multigoal_amortized",
            "paper",
            64,
            50,
            algorithm=DracOptions(estimator="paired", num_samples=17, precision="tf32"),
        )
    ),
    "paper_loop": Part(measures.training("pointmaze_simple_amortized", "paper", 200)),
    "methods": Part(measures.methods(("multigoal_amortized", "multigoal_diffusion"), "paper", 20)),
    "flow": Part(measures.methods(("multigoal_amortized", "multigoal_flow"), "paper", 20)),
    "replay": Part(measures.replay(4096)),
    "diversity": Part(measures.kernels(diversity_kernel.Options())),
    "return_ant": Part(time_to_return("ant_amortized", "gpu", 5_000.0, 240.0)),
    "return_ant_warp": Part(
        time_to_return("ant_amortized", "gpu", 5_000.0, 240.0, "--env.impl", "warp")
    ),
}
TINY = ("--train.env-steps", "1000", "--train.epochs", "1", "--algorithm.hidden", "8", "8")
TOY = {
    "simulation": Part(measures.simulation("point_maze", (2, 4), 2, layout="simple")),
    "update": Part(
        measures.update(drac_update.Options(batch=64, hidden=(16, 16), calls=1), EVERY[:2])
    ),
    "train": Part(measures.training("multigoal_amortized", "fast", 4)),
    "seeds": Part(measures.members("multigoal_amortized", "paper", 2, 2)),
    "diversity": Part(measures.kernels(diversity_kernel.Options(batch=64, calls=1))),
    "return": Part(time_to_return("multigoal_amortized", "fast", -1e3, 120.0, *TINY)),
}


def parts(toy: bool) -> dict[str, Part]:
    """Choose the plan."""
    return TOY if toy else WHOLE
