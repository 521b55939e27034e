"""Arrays of the reference implementation: tests/data/README.md says what each file holds."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.tolerances import assert_within, error_of

PRECISIONS = ("float32", pytest.param("float64", marks=pytest.mark.heavy))  # the same again
LEAST_EFFORT = {"xla_backend_optimization_level": 0}
DATA = Path(__file__).resolve().parents[1] / "data"
# Trained weights that state no licence: whoever has them keeps them beside the repository.
DECODER = DATA.parents[2] / "shared" / "data" / "mario" / "reference_decoder.npz"


def load(name: str) -> dict[str, np.ndarray]:
    """Load the arrays of one file of tests/data."""
    return dict(np.load(DATA / f"{name}.npz"))


def decoder() -> Path:
    """Find the weights of the reference's level decoder; skips the test where there are none."""
    if not DECODER.exists():
        pytest.skip("the weights of the reference's level decoder are not part of the repository")
    return DECODER


class Case(NamedTuple):
    """One method in one precision: the arrays, and what our functions return of them."""

    name: str
    precision: str
    data: dict[str, np.ndarray]
    results: dict[str, Any]

    def assert_close(self, what: str, ours: Any, theirs: Any) -> None:
        """Compare two trees of arrays, as near as the table asks of `what`."""
        row = f"{self.name} {what}" if self.precision == "float32" else "updates, float64"
        assert_within(row, error_of(ours, theirs))

    def assert_gradients(self, actor: Callable[[dict, str], dict] | None = None) -> None:
        """Compare the gradients of critics and actor. actor: arranges the latter's layers."""
        actor = actor or (lambda data, when: mlp(data, f"{when}_actor"))
        self.assert_close("gradients", self.results["critic_grads"], twin(self.data, "grad", "q"))
        self.assert_close("gradients", self.results["actor_grads"], actor(self.data, "grad"))

    def assert_weights(self, when: str, actor: Callable[[dict, str], dict] | None = None) -> None:
        """Compare an agent's networks after one update (`new`) or more (`traj`)."""
        actor = actor or (lambda data, when: mlp(data, f"{when}_actor"))
        agent = self.results[when]
        self.assert_close("weights", agent.actor.params, actor(self.data, when))
        self.assert_close("weights", agent.critic.params, twin(self.data, when, "q"))
        self.assert_close("weights", agent.target_critic, twin(self.data, when, "tq"))


def case(name: str, precision: str, *functions: Callable) -> Case:
    """Compute functions of the arrays of one file in a precision."""
    data = load(name)
    return Case(name.split("_")[0], precision, data, compute(data, precision, *functions))


def compute(data: dict, precision: str, *functions: Callable) -> dict[str, Any]:
    """Compile and call functions of the arrays in a precision, and join what they return."""
    with jax.enable_x64(True) if precision == "float64" else nullcontext():
        # The stored float64 arrays would stay float64 inputs of a float32 program otherwise.
        given = {k: jnp.asarray(v, precision) for k, v in data.items() if v.dtype.kind == "f"}
        # Called once, they take far longer to compile than to run.
        programs = [jax.jit(f, compiler_options=LEAST_EFFORT) for f in functions]
        parts = [jax.device_get(program(given)) for program in programs]
    return {name: value for part in parts for name, value in part.items()}


def update_tests(
    values: Sequence[str],
    weights: Sequence[str] = ("new",),
    actor: Callable[[dict, str], dict] | None = None,
) -> tuple[Callable, Callable, Callable]:
    """Make the tests of what every method's update computes: its values by name, its gradients, and
    the weights after one update (`new`) or more (`traj`). They take a fixture `case`."""

    @pytest.mark.parametrize("name", values)
    def of_values(case: Case, name: str) -> None:
        case.assert_close("values", case.results["arrays"][name], case.data[name])

    def of_gradients(case: Case) -> None:
        case.assert_gradients(actor)

    @pytest.mark.parametrize("when", weights)
    def of_weights(case: Case, when: str) -> None:
        case.assert_weights(when, actor)

    return of_values, of_gradients, of_weights


def mlp(data: dict, name: str) -> dict:
    """Arrange the layers `<name>_w0, <name>_b0, ...` as the parameters of `networks.MLP`."""
    count = sum(key.startswith(f"{name}_w") for key in data)
    layers = {
        f"PartsDense_{i}": {"kernel": data[f"{name}_w{i}"].T, "bias": data[f"{name}_b{i}"]}
        for i in range(count)
    }
    return {"params": layers}


def twin(data: dict, when: str, net: str, stack: Callable = np.stack) -> dict:
    """Arrange two critics as the parameters of `critics.TwinCritic`."""
    members = [mlp(data, f"{when}_{net}{i}") for i in (1, 2)]
    return jax.tree.map(lambda *leaves: stack(leaves), *members)


def diffusion(data: dict, actor: str, time: str) -> dict:
    """Arrange the layers of a noise prediction as the parameters of `actors.diffusion`."""
    first, *rest = mlp(data, actor)["params"].values()
    named = {f"PartsDense_{i}": layer for i, layer in enumerate(rest)}
    return {"time": mlp(data, time), "first": {"params": first}, "rest": {"params": named}}
