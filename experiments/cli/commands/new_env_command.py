"""The command `new-env`: a file to begin an environment of one's own with."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from experiments.cli.options import parsing

TEMPLATE = Path(__file__).with_name("new_env_template.txt")


@dataclass(frozen=True)
class NewEnv:
    """Write a small environment of your own to begin with, NAME.py.

    Example: python -m experiments new-env my_task
    """

    name: Positional[str]  # of the task and of its file, as my_task
    folder: Path = Path()  # where the file goes


def new_env(words: list[str], began: float) -> int:
    """Write the file and say how it is trained and checked. -> the exit code."""
    asked = parsing.parse(NewEnv, words, f"{parsing.PROGRAM} new-env")
    name = asked.name.removesuffix(".py")
    if not name.isidentifier():
        raise ValueError(f"name={asked.name!r} must be a name in Python, as my_task")
    path = asked.folder / f"{name}.py"
    text = TEMPLATE.read_text("utf-8").replace("NAME", name).replace("FILE", str(path))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"{path} is there already; choose another name") from None
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror}; choose another --folder"
        ) from None
    print(f"wrote {path}")
    print(f"check it: python {path}")
    print(f"train it: {parsing.PROGRAM} run amortized --env {path} --train.env-steps 20000")
    return 0
