"""The trained policies that come with the package, by name."""

import shutil
from difflib import get_close_matches
from pathlib import Path

from drac_jax.runs.storage import packed_agent

PREFIX = "pretrained:"
SOURCE = "source.json"
FOLDER = Path(__file__).parent


def names() -> list[str]:
    """List the policies there are."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{packed_agent.NAME}"))


def place(path: str | Path) -> Path:
    """Find the folder of `pretrained:NAME`; any other path is that of a run. Raises ValueError with
    the nearest names."""
    if not str(path).startswith(PREFIX):
        return Path(path)
    name = str(path).removeprefix(PREFIX)
    if name not in (known := names()):
        near = get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise ValueError(f"{PREFIX}{name} is unknown; nearest: {', '.join(near)}")
    return FOLDER / name


def copied(path: str, runs_dir: Path = Path("runs")) -> Path:
    """Copy the folder of `pretrained:NAME` to where results may be written; any other path stays.
    -> the run folder. Raises ValueError as `place` does."""
    folder = place(path)
    if folder.parent != FOLDER:
        return folder
    to = runs_dir / "pretrained" / folder.name
    try:
        shutil.copytree(folder, to, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise ValueError(f"cannot copy {path} to {to}: {error}") from None
    return to
