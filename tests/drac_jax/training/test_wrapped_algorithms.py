"""What holds of every algorithm with all that a training config can put around it."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from drac_jax.algorithms.registry import METHODS
from drac_jax.training import sweep
from drac_jax.training.loop import Train, make_train
from drac_jax.training.schedule import TrainConfig, make_schedule
from envs import batch
from tests.support.small_methods import DISTINCT, small_options
from tests.support.tolerances import leaves_of
from tests.support.toys import half_seen

CONFIG = TrainConfig(
    env_steps=56,
    num_envs=2,
    steps_per_iteration=2,
    updates_per_iteration=2,
    batch_size=8,
    learning_starts=8,
    epochs=2,
    normalize_obs=True,
    normalize_reward=True,
    reward_scale=0.5,
    max_grad_norm=1.0,
    lr_schedule="cosine",
    lr_warmup=4,
    lr_final=0.1,
)
UPDATES = 24


@cache
def train_of(method: str, config: TrainConfig = CONFIG) -> Train:
    env = batch(half_seen())
    return make_train(env, METHODS[method].make(env.spec, small_options(method)), config)


def members_of(method: str) -> tuple[jax.Array, Any]:
    members = sweep.members(METHODS[method].hparams, [3, 4], {"actor_lr": [1e-3]})
    return sweep.keys(members)[0], members.hparams


@pytest.mark.slow
@pytest.mark.parametrize("method", DISTINCT)
def test_every_method_trains_with_everything_on_and_is_traced_once(method):
    train, (keys, hparams) = train_of(method), members_of(method)
    init, epoch = jax.jit(train.init), jax.jit(train.epoch)
    start = init(keys[0], jax.tree.map(lambda x: x[0], hparams))
    middle, _ = epoch(start)
    end, metrics = epoch(middle)
    assert (init._cache_size(), epoch._cache_size()) == (1, 1)
    assert all(np.isfinite(leaf).all() for leaf in leaves_of(end.agent))
    assert float(end.agent.obs.weight) == float(end.agent.agent.moments.weight) == 56
    scheduled = end.agent.agent.agent
    assert int(scheduled.updates) == UPDATES == make_schedule(CONFIG).updates(CONFIG, 2)
    assert end.agent.hparams.actor_lr == np.float32(1e-3)
    assert 0.1 < metrics["schedule/lr_factor"] < 1.0
    for part in ("actor", "critic"):
        before, after = (getattr(s.agent.agent.agent.agent, part) for s in (start, end))
        assert float(after.opt_state.max_norm) == 1.0
        pairs = zip(leaves_of(before.params), leaves_of(after.params), strict=True)
        assert any((a != b).any() for a, b in pairs)
    action = train.algorithm.act(end.agent, end.env.obs, keys[0])
    assert action.shape == train.algorithm.mode(end.agent, end.env.obs).shape == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["amortized", "dacer"])
def test_member_with_everything_on_is_as_if_alone(method):
    config = replace(CONFIG, env_steps=32)
    train, (keys, hparams) = train_of(method, config), members_of(method)

    def first_epoch(key: jax.Array, hparams: Any) -> tuple:
        return train.epoch(train.init(key, hparams))

    together = jax.jit(jax.vmap(first_epoch))(keys, hparams)
    alone = jax.jit(first_epoch)(keys[1], jax.tree.map(lambda x: x[1], hparams))
    for a, b in zip(leaves_of(together), leaves_of(alone), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-5)
