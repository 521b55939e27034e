"""Gymnasium's locomotion tasks, 1,000,000 env steps: the paper's second domain."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import envs
from drac_jax.algorithms import DacerHParams, DracHParams, S2acHParams, SacHParams, SqlHParams
from drac_jax.algorithms.registry import DracOptions
from drac_jax.runs.setup.experiment import EvalConfig, Experiment, RunConfig
from drac_jax.training.schedule import TrainConfig
from drac_jax.types import Environment
from experiments.tasks.every_method import Setting, every_method


@dataclass(frozen=True)
class LocomotionOptions:
    """Options of the locomotion tasks."""

    version: Literal["v4", "v5"] = "v4"  # of the Gymnasium task
    fidelity: Literal["gymnasium", "fast"] = "gymnasium"  # C MuJoCo's physics, or a cheaper one
    # The engine: MJX's own, NVIDIA's for its GPUs, C MuJoCo for CPUs, or what suits the device.
    # Runs that do not name it were trained when there was only `jax`.
    impl: Literal["auto", "jax", "warp", "c"] = field(default="auto", metadata={"unnamed": "jax"})
    # Factors drawn for every episode, as `geom_friction 0.5 1.5 body_mass:torso 0.8 1.2`.
    randomise: dict[str, tuple[float, float]] = field(default_factory=dict)
    action_repeat: int = 1  # env steps of Gymnasium's that one of ours is


# For one large accelerator. A step of 4,096 Ants takes an H200 10 ms and an update of batch 4,096
# takes 0.64 ms, of batch 256 0.16 ms: small ones leave most of the time to the simulation.
GPU_TRAIN = TrainConfig(
    env_steps=32_768_000,
    num_envs=4096,
    updates_per_iteration=32,
    batch_size=1024,
    replay_capacity=4_194_304,
    n_step=3,
    strata=8,
    epochs=16,
)


def several_environments(default: RunConfig, fast_env: Any) -> dict[str, RunConfig]:
    """Make the presets of many environments from that of one. fast_env: the environment's options
    in `fast` and `gpu`."""
    # 256 environments and an update for every eighth env step, of as many updates as the paper's.
    fast = replace(
        default,
        env=fast_env,
        train=TrainConfig(env_steps=8_000_000, num_envs=256, updates_per_iteration=32, epochs=50),
    )
    # Several environments share the price of a call to the host; a quarter as many updates.
    cpu = replace(
        default,
        train=TrainConfig(env_steps=1_000_000, num_envs=16, updates_per_iteration=4, epochs=50),
    )
    gpu = replace(
        fast,
        algorithm=DracOptions(precision="tf32"),
        hparams=fast.hparams.replace(actor_lr=5e-4, critic_lr=1e-3, tau=0.01),
        train=GPU_TRAIN,
    )
    return {"fast": fast, "cpu": cpu, "gpu": gpu}


def _experiments(name: str, task: str, actions: int) -> list[Experiment]:
    def make_env(options: LocomotionOptions, obstacles: bool) -> Environment:
        return envs.make(task, **vars(options))

    # The paper's loop: one environment, one update per step, eight pairs of samples, beta 0.5.
    paper: RunConfig = RunConfig(
        env=LocomotionOptions(),
        algorithm=DracOptions(estimator="paired", num_samples=17),
        hparams=DracHParams(beta=0.5),
        train=TrainConfig(env_steps=1_000_000, epochs=100),
        eval=EvalConfig(episodes=30, final_episodes=100),
    )
    default = replace(paper, algorithm=DracOptions())
    amortized = Experiment(
        name=f"{task}_amortized",
        summary=f"{name}-v4",
        method="amortized",
        make_env=make_env,
        presets={
            "paper": paper,
            "default": default,
            **several_environments(default, LocomotionOptions(fidelity="fast")),
        },
        suited={"cpu": "cpu", "gpu": "gpu"},
        elsewhere=lambda options: f"{name}-{options.version}",
    )
    return every_method(amortized, _settings(name, actions))


def _settings(name: str, actions: int) -> dict[str, Setting]:
    """State the paper's values of the other methods."""
    chain = Setting(DracHParams(beta=0.2))
    return {
        "diffusion": chain,
        "diffusion5": chain,
        "sac": Setting(SacHParams(target_entropy=-actions)),
        "dacer": Setting(
            DacerHParams(
                target_entropy=-0.9 * actions,
                noise_scale=0.15 if name in ("Humanoid", "HalfCheetah") else 0.1,
            ),
        ),
        "sql": Setting(SqlHParams(alpha=0.2 if name == "Ant" else 1.0)),
        "s2ac": Setting(S2acHParams(alpha=0.2 if name == "Ant" else 1.0)),
    }


ACTIONS = {"Ant": 8, "HalfCheetah": 6, "Hopper": 3, "Humanoid": 17, "Swimmer": 2, "Walker2d": 6}
EXPERIMENTS = [
    experiment
    for name, actions in ACTIONS.items()
    for experiment in _experiments(name, name.lower(), actions)
]
