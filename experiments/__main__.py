"""The command line.

python -m experiments list
python -m experiments run [NAME] [--preset paper|default|fast] [--dry-run] [--runs-dir DIR]
                      [--wandb PROJECT] [--resume FOLDER] [--devices N] [--seconds N]
                      [--seeds 8 ...]
python -m experiments sweep [NAME] --grid.beta 0.2 0.5 0.8 [as for run]
python -m experiments evaluate FOLDER [--eval.final-episodes 500] [--env.layout medium ...]
python -m experiments render FOLDER [--episodes 4] [--member 0] [--seed 0] [--env.layout medium ...]
python -m experiments robustness FOLDER [--episodes 5 --maps 30 --walls 10]
python -m experiments decoder [--corpus FOLDER --out decoder.npz --seed 0 --steps 3000]
python -m experiments compare DOMAIN [--algos amortized sac ...] [--preset paper|default|fast]
                      [--dry-run] [--runs-dir DIR] [--resume FOLDER] [--seconds N]
                      [--seeds 5 --train.env-steps 20000 ...] [--sac.hparams.tau 0.01 ...]

Every value of a run can be set: python -m experiments run NAME --help lists them.
--seconds N saves and stops a run, sweep or comparison before N seconds are over; Ctrl-C, SIGTERM
and SIGHUP save and stop it within seconds. The exit code is then 130, and --resume goes on.
A run uses all the devices it can, or the first N of --devices (virtual ones on a CPU). Several
processes train one run together with --distributed on a TPU pod or under Slurm, and elsewhere with
--coordinator HOST:PORT --num-processes N --process-id I [--coordinator-timeout 60].
Compiled programs are kept in ~/.cache/drac_jax/xla, or in JAX_COMPILATION_CACHE_DIR;
JAX_ENABLE_COMPILATION_CACHE=false keeps none.
"""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from experiments.cli import exits, output


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _run_parser() -> argparse.ArgumentParser:
    """Make the parser of the options that are not values of the run."""
    parser = _Parser(allow_abbrev=False, add_help=False)
    parser.add_argument("--preset")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--wandb")
    parser.add_argument("--devices", type=int)
    parser.add_argument("--distributed", action="store_true")
    parser.add_argument("--coordinator")
    parser.add_argument("--num-processes", type=int)
    parser.add_argument("--process-id", type=int)
    parser.add_argument("--coordinator-timeout", type=float, default=60.0)
    return parser


def _compare_parser() -> argparse.ArgumentParser:
    parser = _Parser(allow_abbrev=False, add_help=False)
    parser.add_argument("--algos", nargs="+")
    parser.add_argument("--preset")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--devices", type=int)
    return parser


def _render_parser() -> argparse.ArgumentParser:
    parser = _Parser(allow_abbrev=False, add_help=False)
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--member", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _no_parser() -> argparse.ArgumentParser:
    """Make the parser of a command whose options are all its own."""
    return _Parser(allow_abbrev=False, add_help=False)


PARSERS = {"render": _render_parser, "compare": _compare_parser, "decoder": _no_parser}


def parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split words into a command, its name or folder, its options, and the run's values."""
    if not words or words[0] in ("-h", "--help", "help"):
        return argparse.Namespace(command="help"), []
    command, *words = words
    name = words.pop(0) if words and not words[0].startswith("-") else None
    args, rest = PARSERS.get(command, _run_parser)().parse_known_args(words)
    args.command, args.name = command, name
    return args, rest


def _set_up(args: argparse.Namespace, began: float) -> None:
    """Make the devices that are asked for, and meet the other processes, before any array is.
    began: when, of `time.monotonic`."""
    import jax

    from drac_jax import ranges
    from drac_jax.runs.hardware import hosts

    args.deadline = None
    if (seconds := getattr(args, "seconds", None)) is not None:
        ranges.check_number("seconds", seconds, "--seconds")
        args.deadline = began + seconds

    if (count := getattr(args, "devices", None)) is not None:
        ranges.check_number("devices", count)
        with contextlib.suppress(RuntimeError):  # too late: the run will say how many there are
            jax.config.update("jax_num_cpu_devices", count)
    explicit = [
        getattr(args, name, None) for name in ("coordinator", "num_processes", "process_id")
    ]
    timeout = getattr(args, "coordinator_timeout", hosts.Cluster.timeout)
    cluster = hosts.Cluster(*explicit, timeout)
    hosts.check(cluster)
    if explicit != [None] * 3 or getattr(args, "distributed", False):
        hosts.join(cluster)
        if not hosts.is_first():  # what is said is said once
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _keep_compiled() -> None:
    """Keep compiled programs between runs, unless the environment says where or not to."""
    import jax  # which has read its environment by now, when the package was imported

    defaults = {
        "jax_compilation_cache_dir": str(Path.home() / ".cache" / "drac_jax" / "xla"),
        "jax_persistent_cache_min_compile_time_secs": 0.5,
    }
    for name, value in defaults.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)


def main(words: list[str]) -> int:
    """Run one command. -> the exit code: 0, 2 for bad input, 130 when interrupted."""
    # XLA's own log lines would break the live line; what matters is raised as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    began = time.monotonic()
    try:
        args, rest = parse(words)
        if args.command == "help":
            print(__doc__)
            return 0
        _set_up(args, began)
        from experiments.cli.commands import execute

        return execute(args, rest)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return exits.BAD_INPUT
    except KeyboardInterrupt:
        print("stopped; nothing after the last checkpoint is kept", file=sys.stderr)
        return exits.INTERRUPTED


def _leave(code: int) -> NoReturn:
    """Exit. A process that fails does not wait, as JAX would, for the others to end as well."""
    jax = sys.modules.get("jax")
    if code == exits.BAD_INPUT and jax is not None and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    output.outlive_readers()
    _keep_compiled()
    _leave(main(sys.argv[1:]))
