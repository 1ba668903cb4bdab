"""What a path that does not exist may have meant: a path that is spelled like it, or a run near it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

_DEPTH = 4  # folders between a folder and the checkpoints of its runs, at most
_CUTOFF = 0.6  # likeness of names
_ANCHORED = 2  # folders that may have been left out before a relative path


def holds_checkpoint(path: Path) -> bool:
    """Return whether a path is a checkpoint, or a folder of one or several runs that have one."""
    if path.is_file():
        return path.suffix == ".ckpt"
    return any(next(path.glob("*/" * depth + "*.ckpt"), None) is not None for depth in range(_DEPTH))


def nearest_path(path: str | Path, accepts: Callable[[Path], bool] = holds_checkpoint) -> Path | None:
    """Return the path that is spelled most like one that does not exist; None where none is.

    Args:
        path: a file or folder.
        accepts: whether a path that exists will do.
    """
    wanted = Path(path).expanduser()
    home = next((folder for folder in wanted.parents if folder.is_dir()), None)
    if home is None:
        return None
    parts = wanted.relative_to(home).parts
    found = _descend(home, parts, accepts)
    if found is None and not wanted.is_absolute():
        left_out = (x for depth in range(1, _ANCHORED + 1) for x in sorted(home.glob("*/" * depth + "/".join(parts))))
        found = next(filter(accepts, left_out), None)
    return found


def checkpoint_hint(path: str | Path) -> str:
    """Return the end of a sentence about a checkpoint that does not exist.

    It asks for the nearest one, else names the newest run here, else says where checkpoints are.
    """
    if (near := nearest_path(path)) is not None:
        return f"did you mean {near}?"
    if not Path(path).is_absolute() and (newest := _newest_run(Path())) is not None:
        return f"the newest run here is {newest}"
    return "checkpoints are in <run folder>/checkpoints"


def _descend(folder: Path, parts: Sequence[str], accepts: Callable[[Path], bool]) -> Path | None:
    """Return the path below a folder that is most like some parts: the whole of them, or else the first ones."""
    if not parts:
        return folder if accepts(folder) else None
    names = [x.name for x in folder.iterdir() if x.is_dir() or len(parts) == 1]
    for name in difflib.get_close_matches(parts[0], names, n=3, cutoff=_CUTOFF):
        below = folder / name
        found = _descend(below, parts[1:], accepts) if below.is_dir() or len(parts) == 1 else None
        if found is not None or accepts(below):
            return found or below
    return None


def _newest_run(folder: Path) -> Path | None:
    """Return the run below a folder that wrote a checkpoint last."""
    runs = [x.parent for depth in range(1, _DEPTH) for x in folder.glob("*/" * depth + "checkpoints")]
    dated = [
        (max((x.stat().st_mtime_ns for x in (run / "checkpoints").glob("*.ckpt")), default=0), run) for run in runs
    ]
    return max(dated)[1] if dated and max(dated)[0] else None
