"""Where arrays live: the choice of devices, and that a run is the same on any number of them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from drac_jax.runs.hardware import devices
from experiments.throughput.suites.training.scaling import exchanges
from tests.support.tolerances import assert_within, error_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("count", "members", "strata", "shape"),
    [
        (1, 1, 1, (1, 1)),
        (4, 8, 4, (4, 1)),  # members first
        (8, 2, 4, (2, 4)),  # then strata
        (6, 4, 3, (2, 3)),
        (3, 4, 8, None),
        (8, 1, 4, None),
    ],
)
def test_members_are_placed_before_strata(count, members, strata, shape):
    assert devices.split(count, members, strata) == shape


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(2, 64), st.integers(1, 12), st.integers(1, 12))
def test_sizes_that_an_error_proposes_fit(count, members, strata):
    if devices.split(count, members, strata):
        return
    with pytest.raises(ValueError, match=f"devices={count} cannot share {members} ") as error:
        devices.make_mesh([jax.devices()[0]] * count, members, strata)
    said = str(error.value)
    proposed = [re.findall(r"\d+", part) for part in re.split("use |, |;", said)[1:5]]
    used, sides, parts = (list(map(int, part)) for part in proposed[1:4])
    assert all(devices.split(n, members, strata) for n in used)
    assert all(devices.split(count, n, strata) for n in sides)
    assert all(devices.split(count, members, n) for n in parts)


@pytest.mark.parametrize("asked", [0, 1000])
def test_devices_that_there_are_not_are_refused(asked):
    with pytest.raises(ValueError, match=rf"devices={asked} must be in 1\.\.{len(jax.devices())}"):
        devices.choose(asked, 1, 1)


def test_most_devices_that_fit_are_used_where_none_are_asked_for():
    assert devices.most(8, 3, 1) == 3
    assert devices.most(8, 3, 2) == 6
    assert devices.most(7, 1, 1) == 1


def test_bytes_are_those_of_one_devices_share():
    mesh = AbstractMesh((2, 4), (devices.MEMBER, devices.ENV))
    data = NamedSharding(mesh, PartitionSpec(devices.MEMBER, None, devices.ENV))
    agent = NamedSharding(mesh, PartitionSpec(devices.MEMBER))
    tree = {
        "data": jax.ShapeDtypeStruct((2, 10, 8, 3), np.float32, sharding=data),
        "agent": jax.ShapeDtypeStruct((2, 7), np.float32, sharding=agent),
    }
    assert devices.bytes_per_device(tree) == 4 * (10 * 2 * 3 + 7)


def test_exchanges_are_counted_within_their_scope():
    text = """
    %a = f32[] all-reduce(%x), metadata={op_name="jit(f)/while/update/reduce_sum"}
    %b = (f32[], f32[2]) all-reduce(%x, %y), metadata={op_name="jit(f)/(update/mul:update/add)"}
    %c = f32[8] all-gather-start(%x), metadata={op_name="jit(f)/update/concatenate"}
    %d = f32[] all-reduce(%x), metadata={op_name="jit(f)/while/reduce_sum"}
    """
    assert exchanges(text, "update") == {"all-reduce": 2, "all-gather": 1}


class OnDevices(NamedTuple):
    """The same run on 1, 2, 4 and 8 devices, and two seeds of it on 4."""

    one: dict[str, Any]
    others: list[dict[str, Any]]
    two_seeds: dict[str, Any]


@pytest.fixture(scope="module")
def on_devices() -> OnDevices:
    """Virtual devices must be made before any array, so in a process of their own."""
    line = [sys.executable, "-m", "tests.support.on_devices"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    one, *others, two_seeds = json.loads(done.stdout.splitlines()[-1])
    return OnDevices(one, others, two_seeds)


def assert_same_curve(one: dict[str, list], other: dict[str, list], member: int = 0) -> None:
    """Compare the curves of the first member of `one` and a member of `other`."""
    ours = {name: np.array(values)[:, 0] for name, values in one.items()}
    theirs = {name: np.array(values)[:, member] for name, values in other.items()}
    assert ours.keys() == theirs.keys()
    assert_within("devices", error_of(theirs, ours))


@pytest.mark.slow
def test_learning_curve_is_the_same_on_any_number_of_devices(on_devices):
    for other in on_devices.others:
        assert_same_curve(on_devices.one["curve"], other["curve"])


@pytest.mark.slow
def test_member_on_a_device_of_its_own_is_as_if_alone(on_devices):
    assert on_devices.two_seeds["mesh"] == [2, 2]
    assert_same_curve(on_devices.one["curve"], on_devices.two_seeds["curve"])


@pytest.mark.slow
def test_replay_and_environments_are_shared_out(on_devices):
    one, parts = on_devices.one["shards"], [run["shards"] for run in on_devices.others]
    rows, envs = one["replay"][1:3]
    assert [shards["replay"][1:3] for shards in parts] == [[rows, envs // n] for n in (2, 4, 8)]
    assert [shards["obs"][1] for shards in parts] == [envs // n for n in (2, 4, 8)]
    assert on_devices.two_seeds["shards"]["replay"][:3] == [1, rows, envs // 2]


@pytest.mark.slow
def test_update_takes_two_sums_over_devices_and_no_other_exchange(on_devices):
    assert on_devices.one["exchanges"] == {}
    for run in (*on_devices.others, on_devices.two_seeds):
        assert run["exchanges"] == {"all-reduce": 2}
