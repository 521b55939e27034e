"""One part in a process of its own: gets ready, waits for its turn, measures, writes its result.

Called by `turns` with one word of JSON: the part's name, whether at toy size, where to write, how
many repeats, and PyTorch's interpreter. Prints `ready` when everything is compiled, and begins to
measure at the next line of its input.
"""

import json
import sys
import time
from pathlib import Path

import jax

from drac_jax.runs.hardware import machine
from drac_jax.runs.storage import run_folder
from experiments.throughput import timing
from experiments.throughput.accelerator import plan
from experiments.throughput.accelerator.part_measures import Request


def main(word: str) -> None:
    """Play one part."""
    given = json.loads(word)
    out = Path(given["out"])
    part = plan.parts(given["toy"])[given["part"]]
    began = time.perf_counter()
    measure = part.prepare(Request(given["repeats"], given["torch_python"]))
    ready = time.perf_counter() - began
    print("ready", flush=True)
    if not sys.stdin.readline():
        return  # whoever gives the turns is gone
    began = time.perf_counter()
    found = measure()
    stats = jax.devices()[0].memory_stats() or {}
    record = {
        "part": given["part"],
        "rows": [row._asdict() for row in found.rows],
        "prepare_s": ready,
        "measure_s": time.perf_counter() - began,
        "peak_bytes": stats.get("peak_bytes_in_use"),
        **found.more,
        **machine.environment_facts(),
        "driver": machine.gpu_driver(),
        "processor": timing.processor_name(),
        "environment": part.environment,
    }
    run_folder.write_json(out / f"{given['part']}.json", record)


if __name__ == "__main__":
    main(sys.argv[1])
