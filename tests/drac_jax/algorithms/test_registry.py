"""Every method on every task, by name; and what none of them accepts."""

from dataclasses import replace

import pytest

from drac_jax.algorithms.registry import METHODS, DiversityOptions, make_diversity
from drac_jax.training import schedule
from drac_jax.types import EnvSpec
from experiments import EXPERIMENTS, find

SPEC = EnvSpec("task", 3, 2, 10)
TASKS = {name.removesuffix("_amortized") for name in EXPERIMENTS if name.endswith("_amortized")}


def test_every_task_is_offered_with_every_method():
    assert {f"{task}_{method}" for task in TASKS for method in METHODS} == set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_methods_of_a_task_share_its_loop(name):
    experiment = find(name)
    amortized = find(f"{name.rpartition('_')[0]}_amortized")
    assert experiment.presets.keys() == amortized.presets.keys() >= {"paper", "default", "fast"}
    method = METHODS[experiment.method]
    for preset, config in experiment.presets.items():
        same = amortized.presets[preset]
        assert isinstance(config.algorithm, type(method.options))
        assert isinstance(config.hparams, type(method.hparams))
        assert (config.env, config.eval) == (same.env, same.eval)
        for field in ("critic_lr", "gamma", "tau"):
            assert getattr(config.hparams, field) == getattr(same.hparams, field)
        assert config.algorithm.style == same.algorithm.style
        assert config.algorithm.hidden == same.algorithm.hidden
        if isinstance(config.algorithm, DiversityOptions):
            assert make_diversity(config.algorithm).num_samples == same.algorithm.num_samples
            assert config.algorithm.estimator == same.algorithm.estimator
        ratios = {
            c.train.updates_per_iteration / (c.train.num_envs * c.train.steps_per_iteration)
            for c in (config, same)
        }
        assert len(ratios) == 1
        schedule.check(config.train, method.make(SPEC, config.algorithm).num_minibatches)


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("amortized", {"num_samples": 1}, "num_samples=1"),
        ("amortized", {"latent_size": 0}, "latent_size=0"),
        ("amortized", {"diversity_fraction": 0.0}, "diversity_fraction=0"),
        ("diffusion", {"diversity_fraction": 1.5}, "diversity_fraction=1.5"),
        ("diffusion", {"steps": 0}, "steps=0"),
        ("diffusion", {"estimator": "paired"}, "num_samples=6 must be odd"),
        ("flow", {"steps": 0}, "steps=0"),
        ("dacer", {"steps": 0}, "steps=0"),
        ("dacer", {"mixture_components": 201}, "mixture_components=201"),
        ("dacer", {"entropy_period": 0}, "entropy_period=0"),
        ("sql", {"particles": 1}, "particles=1"),
        ("s2ac", {"particles": 0}, "particles=0"),
        ("sac", {"value": "histogram"}, "needs value_range"),
        ("td3", {"critic": "residual", "hidden": (8, 4)}, r"use \(256, 256\)"),
        ("s2ac", {"svgd_steps": 0}, "svgd_steps=0"),
    ],
)
def test_option_that_cannot_work_is_refused_before_anything_is_compiled(method, changes, said):
    with pytest.raises(ValueError, match=said):
        METHODS[method].make(SPEC, replace(METHODS[method].options, **changes))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("field", "value"),
    [("actor_lr", 0.0), ("critic_lr", -1.0), ("gamma", 1.1), ("tau", 0.0), ("gamma", float("nan"))],
)
def test_hyperparameter_that_cannot_work_is_refused(method, field, value):
    of = METHODS[method]
    options, hparams, check = of.options, of.hparams, of.check
    assert check(SPEC, options, hparams) == []
    with pytest.raises(ValueError, match=f"{field}={value:g}"):
        check(SPEC, options, hparams.replace(**{field: value}))


def test_fixed_alpha_is_accepted():
    of = METHODS["sac"]
    options, hparams, check = of.options, of.hparams, of.check
    assert check(SPEC, options, hparams.replace(alpha_lr=0.0)) == []
    with pytest.raises(ValueError, match="alpha_lr=-1 must be at least 0"):
        check(SPEC, options, hparams.replace(alpha_lr=-1.0))
