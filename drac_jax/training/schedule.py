"""The training config, and the schedule of epochs and updates that it makes."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from drac_jax import ranges


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The static shape of a run. Budgets count env steps, summed over the environments."""

    env_steps: int = 20_000  # the whole budget
    num_envs: int = 1  # environments that step together
    # Steps of every environment before `updates_per_iteration` updates: more than one for
    # algorithms that take several updates in one call.
    steps_per_iteration: int = 1
    updates_per_iteration: int = 1  # critic updates after these steps
    batch_size: int = 256  # transitions of an update
    replay_capacity: int = 1_000_000  # transitions, rounded down to whole rows of all environments
    store_next_obs: bool = True  # kept in the replay; without, it takes half the memory
    n_step: int = 1  # env steps of the TD target
    # Groups of environments, each with its own share of every minibatch, so that as many devices
    # need not exchange transitions.
    strata: int = 1
    learning_starts: int = 256  # env steps before the first update: at least one row and one batch
    # Environments that keep their latent for `hold_steps` env steps while collecting data, and so
    # explore in longer strokes; 0 as in the paper. Evaluations always draw afresh.
    held_envs: int = 0
    hold_steps: int = 50  # env steps that a held latent lasts
    # Subtract from observations their running mean and divide them by their running standard
    # deviation, clipped to +-10; both are kept with the policy.
    normalize_obs: bool = False
    # Divide rewards by the running standard deviation of the discounted return so far in each
    # episode, clipped to +-10. Losses and Q are then of such rewards, returns are recorded as ever.
    normalize_reward: bool = False
    reward_scale: float = 1.0  # what rewards are multiplied by, after that, before an update
    # Scale gradients down to this norm, the actor's and those of both critics together; 0: never.
    max_grad_norm: float = 0.0
    # What becomes of the learning rates until the budget's last update, those of actor, critics and
    # alpha alike.
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    lr_warmup: int = 0  # updates in which they first grow from 0
    lr_final: float = 0.0  # fraction of them that a linear or cosine schedule ends at
    epochs: int = 20  # equal parts of the budget, each followed by an evaluation


LONGEST_STRIDE = 8


class Schedule(NamedTuple):
    """How a budget is spent: steps of every environment before learning, then `epochs` equal
    epochs.

    An epoch is cut into `segments`, each of which ends in the algorithm's slow update; where its
    period is longer than an epoch, there is one in `slow_epochs` epochs.
    """

    prefill: int
    iterations_per_epoch: int
    epochs: int
    segments: int = 1
    slow_epochs: int = 1

    @property
    def segment(self) -> int:
        """Count the iterations of a segment."""
        return self.iterations_per_epoch // self.segments

    @property
    def stride(self) -> int:
        """Count the iterations that are always taken together: what divides a segment."""
        return max(n for n in range(1, LONGEST_STRIDE + 1) if self.segment % n == 0)

    def env_steps(self, config: TrainConfig, epoch: int) -> int:
        """Count env steps after `epoch` epochs."""
        iterations = epoch * self.iterations_per_epoch
        return (self.prefill + iterations * config.steps_per_iteration) * config.num_envs

    def updates(self, config: TrainConfig, epoch: int) -> int:
        """Count updates after `epoch` epochs."""
        return epoch * self.iterations_per_epoch * config.updates_per_iteration


def make_schedule(config: TrainConfig, slow_period: int = 0) -> Schedule:
    """Spend exactly the budget: the remainder of the division into epochs, and of them into
    segments, lengthens the prefill.

    slow_period: updates between slow updates, 0 where there are none; epochs come first, so it is
    rounded to what divides an epoch, or to a whole number of epochs.
    """
    steps = config.env_steps // config.num_envs
    prefill = -(-_first_batch(config) // config.num_envs)
    per_epoch = (steps - prefill) // (config.epochs * config.steps_per_iteration)
    updates = per_epoch * config.updates_per_iteration
    segments = round(updates / slow_period) if slow_period else 1
    segments = max(1, min(segments, per_epoch))
    slow_epochs = max(1, round(slow_period / updates)) if updates else 1
    per_epoch = per_epoch // segments * segments
    used = per_epoch * config.epochs * config.steps_per_iteration
    return Schedule(steps - used, per_epoch, config.epochs, segments, slow_epochs)


def replay_rows(config: TrainConfig) -> int:
    """Count the ring's rows; more than the budget would never be written."""
    return min(config.replay_capacity, config.env_steps) // config.num_envs


def check(config: TrainConfig, num_minibatches: int = 1) -> None:
    """Raise ValueError, naming field, value and fix, where a config cannot be run."""
    ranges.check(config)
    if config.held_envs > config.num_envs:
        raise ValueError(
            f"held_envs={config.held_envs} must be at most num_envs={config.num_envs}; use "
            f"held_envs={config.num_envs}"
        )
    _check_replay(config)
    _check_strata(config)
    if config.updates_per_iteration % num_minibatches:
        raise ValueError(
            f"updates_per_iteration={config.updates_per_iteration} must be a multiple of "
            f"{num_minibatches}, the updates of one call of this algorithm; use "
            f"updates_per_iteration={num_minibatches} with steps_per_iteration={num_minibatches}"
        )
    if make_schedule(config).iterations_per_epoch < 1:
        each = config.num_envs * config.steps_per_iteration
        needed = each * config.epochs + _first_batch(config)
        raise ValueError(
            f"env_steps={config.env_steps} is too little for {config.epochs} epochs of "
            f"num_envs={config.num_envs} after learning starts; use {needed + config.num_envs}"
        )


def _check_replay(config: TrainConfig) -> None:
    if config.replay_capacity < config.batch_size:
        raise ValueError(
            f"batch_size={config.batch_size} is above replay_capacity={config.replay_capacity}; "
            f"use replay_capacity={config.batch_size} or more"
        )
    # Rows without next_obs keep one row back.
    least = config.n_step + (not config.store_next_obs)
    if config.replay_capacity // config.num_envs < least:
        raise ValueError(
            f"replay_capacity={config.replay_capacity} is below {least} row(s) of "
            f"num_envs={config.num_envs}; use replay_capacity={least * config.num_envs} or more"
        )
    if config.n_step > 1 and not config.store_next_obs:
        raise ValueError(f"n_step={config.n_step} needs store_next_obs=True; or use n_step=1")


def _check_strata(config: TrainConfig) -> None:
    for field in ("num_envs", "batch_size"):
        value, strata = getattr(config, field), config.strata
        if value % strata:
            up = -(-value // strata) * strata
            raise ValueError(
                f"{field}={value} must be a multiple of strata={strata}; use {field}={up}"
            )


def _first_batch(config: TrainConfig) -> int:
    """Count the env steps before the first update."""
    return max(config.learning_starts, config.batch_size, config.n_step * config.num_envs)
