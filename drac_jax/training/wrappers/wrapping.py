"""The one place where a training config decides what an algorithm is wrapped in."""

from drac_jax.training.schedule import TrainConfig, make_schedule
from drac_jax.training.wrappers import normalization, step_size
from drac_jax.types import Algorithm


def wrapped(algorithm: Algorithm, config: TrainConfig) -> Algorithm:
    """Wrap an algorithm in what the config asks for; where that is nothing, it stays itself.

    Raises ValueError for a warm-up that is longer than the budget.
    """
    if config.max_grad_norm > 0.0:
        algorithm = step_size.with_clipped_gradients(algorithm, config.max_grad_norm)
    if config.lr_schedule != "constant" or config.lr_warmup:
        updates = make_schedule(config, algorithm.slow_period).updates(config, config.epochs)
        algorithm = step_size.with_scheduled_rates(
            algorithm,
            step_size.make_factor(config.lr_schedule, updates, config.lr_warmup, config.lr_final),
        )
    # What is outside comes first: rewards are normalised, and then scaled.
    if config.reward_scale != 1.0:
        algorithm = normalization.with_scaled_rewards(algorithm, config.reward_scale)
    if config.normalize_reward:
        algorithm = normalization.with_normalized_rewards(algorithm, config.num_envs)
    if config.normalize_obs:
        algorithm = normalization.with_normalized_obs(algorithm)
    return algorithm
