"""The command line: its commands, and how they end."""

import os
import sys
import time
from collections.abc import Callable
from difflib import get_close_matches
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro

from experiments.cli import terminal

# command -> the module and the function that run it: (words, when it began) -> exit code. They are
# imported when they are asked for.
COMMANDS = {
    "run": ("train_command", "run"),
    "sweep": ("train_command", "sweep"),
    "tune": ("tune_command", "tune"),
    "compare": ("compare_command", "compare"),
    "evaluate": ("saved_run_commands", "evaluate"),
    "render": ("saved_run_commands", "render"),
    "robustness": ("saved_run_commands", "robustness"),
    "export": ("export_command", "export"),
    "bench": ("bench_command", "bench"),
    "decoder": ("other_commands", "decoder"),
    "study": ("study_command", "study"),
    "list": ("other_commands", "list_experiments"),
    "new-env": ("new_env_command", "new_env"),
}
NOTES = f"""Train, compare and look at multimodal policies. Each command says more: run --help.

Ctrl-C, SIGTERM, SIGHUP and the end of --seconds save a run within seconds and stop it with exit
code 130; --resume goes on. Compiled programs are kept in ~/.cache/drac_jax/xla, or in
JAX_COMPILATION_CACHE_DIR; JAX_ENABLE_COMPILATION_CACHE=false keeps none.

Shell completion: {terminal.PROGRAM} --tyro-print-completion bash"""


def main(words: list[str]) -> int:
    """Run one command. -> the exit code: 0, 2 for bad input, 130 when interrupted."""
    # XLA's own log lines would break the live line; what matters is raised as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    began = time.monotonic()
    try:
        if not words or words[0].startswith("-") or words[0] == "help":
            return _overview(words)
        return _command(words[0])(words[1:], began)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return terminal.BAD_INPUT
    except KeyboardInterrupt:
        print("stopped; nothing after the last checkpoint is kept", file=sys.stderr)
        return terminal.INTERRUPTED
    except SystemExit as stop:  # of --help
        return int(stop.code or 0)


def _command(name: str) -> Callable[[list[str], float], int]:
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        advice = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"command {name!r} is unknown; {advice}use one of {', '.join(COMMANDS)}")
    module, function = COMMANDS[name]
    return getattr(import_module(f"experiments.cli.commands.{module}"), function)


def _overview(words: list[str]) -> int:
    """Print the commands, or what tyro makes of all of them: a shell's completion."""
    commands = [
        Annotated[kind, tyro.conf.subcommand(name, **_given(default))]
        for name, (kind, default) in _kinds().items()
    ]
    every: Any = reduce(or_, commands)
    tyro.cli(
        every,
        args=words if words[:1] not in ([], ["help"]) else ["--help"],
        prog=terminal.PROGRAM,
        description=NOTES,
    )
    return 0


def _kinds() -> dict[str, tuple[Any, Any]]:
    """Collect the type and the default of every command's options."""
    from experiments.cli.commands import (  # heavy, and many
        compare_command,
        saved_run_commands,
        train_command,
        tune_command,
    )
    from experiments.cli.commands.bench_command import Bench
    from experiments.cli.commands.export_command import Export
    from experiments.cli.commands.new_env_command import NewEnv
    from experiments.cli.commands.other_commands import List
    from experiments.cli.commands.study_command import StudyOptions

    kind, default, config = train_command.options(train_command.Train, [])
    folder = Path("FOLDER")
    return {
        "run": (kind, default),
        "sweep": train_command.options(train_command.Sweep, [])[:2],
        "tune": tune_command.options([])[:2],
        "compare": compare_command.compare_options("", None),
        **{
            name: saved_run_commands.options_of(name, folder, config)
            for name in ("evaluate", "render", "robustness")
        },
        "export": (Export, None),
        "bench": (Bench, None),
        "decoder": (import_module("envs.mario.decoder_training.train_decoder").Options, None),
        "study": (StudyOptions, None),
        "list": (List, None),
        "new-env": (NewEnv, None),
    }


def _given(default: Any) -> dict[str, Any]:
    return {} if default is None else {"default": default}


def keep_compiled() -> None:
    """Keep compiled programs between runs, unless the environment says where or not to."""
    import jax  # which has read its environment by now, when the package was imported

    defaults = {
        "jax_compilation_cache_dir": str(Path.home() / ".cache" / "drac_jax" / "xla"),
        "jax_persistent_cache_min_compile_time_secs": 0.5,
    }
    for name, value in defaults.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)


def leave(code: int) -> NoReturn:
    """Exit. A process that fails does not wait, as JAX would, for the others to end as well."""
    jax = sys.modules.get("jax")
    if code == terminal.BAD_INPUT and jax is not None and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
