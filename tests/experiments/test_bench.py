"""The benchmarks' own machinery: who takes part, and what is written down."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from experiments.cli.main import main
from experiments.throughput import timing
from experiments.throughput.accelerator import kernel_trace, plan, turns
from experiments.throughput.suites import action_latency, diversity_kernel, drac_update


def asked(torch_python: str | None) -> drac_update.Options:
    return drac_update.Options(torch_python=torch_python, batch=8, hidden=(8,), calls=1)


@pytest.mark.parametrize(
    ("python", "why"),
    [(None, "no --torch-python"), ("no/such/python", "No such file"), (sys.executable, "torch")],
)
def test_contender_that_is_not_installed_is_left_out_and_named(python, why):
    if python == sys.executable and importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here")
    made, _, facts = drac_update.torch_contenders(asked(python))
    assert made == []
    assert facts.keys() == drac_update.TORCH.keys()
    ours = [timing.Timing("ours", 1.0, [1.0])]
    text = drac_update.describe(ours, {2: 1.0}, facts, asked(python), len(ours))
    for name, said in facts.items():
        assert why in said
        assert f"Left out: {name}" in text


def test_contenders_take_turns_and_may_time_themselves():
    turns = []
    contenders = [
        timing.Contender("a", lambda: turns.append("a"), 2),
        timing.Contender("b", lambda: turns.append("b") or timing.Seconds(0.25)),
    ]
    a, b = timing.side_by_side(contenders, 3)
    assert turns == ["a", "b"] * 4
    assert b.seconds == [0.25] * 3
    assert a.median == np.median(a.seconds) < 0.25


@pytest.mark.heavy
def test_diversity_suite_leaves_figures_table_and_bars(tmp_path):
    words = ["--batch", "64", "--calls", "1", "--repeats", "2", "--out", str(tmp_path)]
    assert main(["bench", "diversity", *words]) == 0
    written = {path.suffix: path for path in tmp_path.iterdir()}
    assert written.keys() == {".json", ".md", ".png"}
    record = json.loads(written[".json"].read_text())
    assert all(len(record[name]) == 2 for name in (diversity_kernel.COPY, *diversity_kernel.FORMS))
    assert {"versions", "device", "processor", "command", "cores"} <= record.keys()
    assert f"| {diversity_kernel.COPY} |" in written[".md"].read_text()


def test_latency_suite_times_every_way_to_play(tmp_path):
    words = ["--only", "td3", "--batches", "2", "--repeats", "2", "--out", str(tmp_path)]
    assert main(["bench", "latency", *words]) == 0
    (written,) = tmp_path.glob("*.json")
    record = json.loads(written.read_text())
    assert all(len(record[f"td3 x 2, {way}"]) == 2 for way in action_latency.WAYS)
    assert "| td3 x 2 |" in written.with_suffix(".md").read_text()


@pytest.mark.slow
def test_accelerator_suite_plays_every_kind_of_part(tmp_path):
    words = ["bench", "accelerator", "--toy", "--repeats", "1", "--out", str(tmp_path)]
    assert main(words) == 0
    record = json.loads((tmp_path / "accelerator.json").read_text())
    assert record["failures"] == {}
    assert record["rows"].keys() == plan.TOY.keys()
    for name, rows in record["rows"].items():
        assert rows and all(np.isfinite(row["value"]) for row in rows), name
        assert {"driver", "device", "versions"} <= json.loads(
            (tmp_path / f"{name}.json").read_text()
        ).keys()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert main([*words, "--skip-done"]) == 0
    changed = [p.name for p, then in before.items() if p.stat().st_mtime_ns != then]
    assert changed == ["accelerator.json"]


def played(tmp_path, whole: float, **requests: str) -> dict[str, str]:
    """Play processes whose part is a line of Python."""
    script = tmp_path / "part_of_a_test.py"
    script.write_text("import json, sys, time\nexec(json.loads(sys.argv[1])['code'])\n")
    asked = [
        ({"part": name, "out": str(tmp_path), "code": code}, {"PYTHONPATH": str(tmp_path)})
        for name, code in requests.items()
    ]
    return turns.play(asked, turns.Limits(ready=60.0, turn=8.0, whole=whole), "part_of_a_test")


def test_part_that_breaks_down_costs_no_other_its_turn(tmp_path):
    ready = "print('ready', flush=True); sys.stdin.readline(); "
    failures = played(
        tmp_path,
        60.0,
        early="sys.exit('no such engine')",
        late=ready + "raise ValueError('out of memory')",
        slow=ready + "time.sleep(60)",
        good=ready + "open(json.loads(sys.argv[1])['out'] + '/good.json', 'w').close()",
    )
    assert failures == {
        "early": "broke down: no such engine",
        "late": "broke down: ValueError: out of memory",
        "slow": "not done within 8 s",
        "good": "",
    }
    assert (tmp_path / "good.json").exists()


def test_parts_measure_when_all_are_ready_and_one_at_a_time(tmp_path):
    code = (
        "log = open(json.loads(sys.argv[1])['out'] + '/order', 'a', buffering=1); "
        "{wait}log.write('ready\\n'); print('ready', flush=True); sys.stdin.readline(); "
        "log.write('begins\\n'); time.sleep(0.2); log.write('ends\\n')"
    )
    failures = played(
        tmp_path, 60.0, one=code.format(wait=""), other=code.format(wait="time.sleep(1); ")
    )
    assert failures == {"one": "", "other": ""}
    order = (tmp_path / "order").read_text().split()
    assert order == ["ready"] * 2 + ["begins", "ends"] * 2


def test_parts_without_time_are_named(tmp_path):
    ready = "print('ready', flush=True); sys.stdin.readline(); "
    failures = played(tmp_path, 3.0, never="time.sleep(60)", good=ready)
    assert failures == {"never": "not ready in time", "good": "no time left"}


def test_device_is_busy_where_any_kernel_runs():
    assert kernel_trace._covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0), (5.5, 5.75)]) == 4.0
