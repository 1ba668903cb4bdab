"""Look-up of checkpoints: which one a run resumes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

from lightning_utilities.core.rank_zero import rank_zero_only

from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.checkpoints.files import (
    Shapes,
    TornCheckpoint,
    check_checkpoint,
    is_intact,
    latest_first,
    read_shapes,
)
from memup_lightning.runs.near_paths import checkpoint_hint
from memup_lightning.runs.run_folder import NO_LOGGER_FOLDER, as_list
from memup_lightning.runs.run_verdict import warn_of_verdict

_say = rank_zero_only(print)
_say_once = cache(_say)
KEPT_WEIGHTS = "best_gain.ckpt"
"""Weights with which a run ended; no run is resumed from it."""


def run_of_config(config: str | Path) -> Path | None:
    """Return the folder of the run that wrote a config; None where no run did, or where its checkpoints are elsewhere."""
    path = Path(config)
    return path.parent if path.name == "config.yaml" and (path.parent / "checkpoints").is_dir() else None


def last_checkpoint(trainer: Any, must_exist: bool, run: Path | None = None) -> tuple[Path, Shapes] | None:
    """Return the checkpoint of ``--ckpt_path last``: the latest intact one of the newest run that has one.

    It prints which one that is, and which later ones it skipped because they are torn.

    Args:
        trainer: the trainer's config, which names the folders of checkpoints.
        must_exist: whether to refuse where there is none. Otherwise the run starts from the beginning, so one command is
            right for the first start and for every restart.
        run: the folder of a run: only this run counts, and those that continue it.

    Raises:
        MemUPError: there is none, or none is intact.
    """
    folders, paths = _candidates(trainer, run)
    torn = 0
    for path in paths:
        try:
            shapes = read_shapes(path)
        except TornCheckpoint as error:
            torn += 1
            _say(f"skipped {path}: {error}")
            continue
        _say(f"resuming from {path}")
        return path, shapes
    places = " or ".join(map(str, folders))
    if torn:
        raise MemUPError(
            f"--ckpt_path last: every checkpoint in {places} is torn ({torn}); start a new run without --ckpt_path"
        )
    if must_exist:
        raise MemUPError(f"--ckpt_path last: there is no checkpoint in {places}; give the path of one")
    _say(f"no checkpoint in {places} yet: the run starts from the beginning")
    return None


def kept_checkpoint(trainer: Any, run: Path | None = None) -> tuple[Path, Shapes]:
    """Return the checkpoint of ``--ckpt_path best``: the weights with which the newest run that has ended did so.

    Args:
        trainer: the trainer's config, which names the folders of checkpoints.
        run: the folder of a run: only this run counts, and those that continue it.

    Raises:
        MemUPError: there is none.
    """
    folders, paths = _candidates(trainer, run, kept=True)
    newest = next(paths, None)
    if newest is None:
        raise MemUPError(
            f"--ckpt_path best: no run in {' or '.join(map(str, folders))} has ended with a memory gain yet; give the path "
            "of a checkpoint, or last"
        )
    _say(f"taking {newest}")
    return newest, check_checkpoint(newest)


def newest_checkpoint(folder: str | Path) -> Path:
    """Return the latest intact checkpoint of the newest run below a folder, and print which one that is.

    Raises:
        MemUPError: there is none.
    """
    found = next((path for path in _newest_run_first(Path(folder)) if is_intact(path)), None)
    if found is None:
        raise MemUPError(f"{folder}: there is no intact checkpoint in this folder; {checkpoint_hint(folder)}")
    _say(f"taking {found}")
    return found


def weights_to_use(path: str | Path, which: Literal["best", "last"] = "best") -> Path:
    """Return the checkpoint of a run to predict with, and print which one that is where a folder is given.

    It warns of a run that ended with the verdict that its memory learned nothing.

    Args:
        path: a checkpoint, which is returned; or a folder: its newest run counts.
        which: ``best``, the weights that the run ended with, or the last ones where it has not ended; ``last``, the last
            ones.

    Raises:
        MemUPError: a folder without an intact checkpoint; another choice.
    """
    if which not in ("best", "last"):
        raise MemUPError(f"{which!r} is no choice of weights; give 'best' or 'last'")
    home = Path(path).expanduser()
    if not home.is_dir():
        warn_of_verdict(home)
        return home
    found = next((path for path in _newest_run_first(home) if is_intact(path)), None)
    kept = next((path for path in _newest_run_first(home, kept=True) if is_intact(path)), None)
    if kept is not None and (found is None or (which == "best" and kept.parent == found.parent)):
        found = kept
    if found is None:
        raise MemUPError(f"{home}: there is no intact checkpoint in this folder; {checkpoint_hint(home)}")
    _say_once(f"taking {found}")  # many environments of a process load the same weights
    warn_of_verdict(found)
    return found


def given_checkpoint(path: str, to_continue: bool) -> tuple[Path, Shapes]:
    """Return the checkpoint that ``--ckpt_path`` names by a path; of a folder, that of its newest run.

    Args:
        path: of a checkpoint or a folder.
        to_continue: whether a run continues from it, which takes the last weights of a folder; else the best ones.

    Raises:
        MemUPError: it is missing, torn or not Lightning's.
    """
    home = Path(path).expanduser()
    if not home.is_dir():
        return Path(path), check_checkpoint(path)
    found = newest_checkpoint(home) if to_continue else weights_to_use(home)
    return found, check_checkpoint(found)


def _candidates(trainer: Any, run: Path | None, kept: bool = False) -> tuple[list[Path], Iterator[Path]]:
    """Return the folders of checkpoints, and the checkpoints in them: of all runs, or of one and those that continue it."""
    if run is None:
        folders = _checkpoint_folders(trainer)
        return folders, (path for folder in folders for path in _newest_run_first(folder, kept))
    home = run.absolute().parent
    family = {run.absolute()}
    continued = {config.parent: _continued_checkpoint(config) for config in home.glob("*/config.yaml")}
    while more := {new for new, old in continued.items() if old and family & set(old.parents)} - family:
        family |= more
    return [run], (
        run.parent / path.relative_to(home) for path in _newest_run_first(home, kept) if family & set(path.parents)
    )


def _continued_checkpoint(config: Path) -> Path | None:
    """Return the checkpoint from which the run of a config was resumed."""
    found = re.search(r"^ckpt_path: (.+)$", config.read_text(), re.MULTILINE)
    return Path(found[1].strip("'\"")).absolute() if found and found[1] != "null" else None


def _newest_run_first(home: Path, kept: bool = False) -> list[Path]:
    """Return all checkpoints below a folder: those of the newest run, the latest first, then those of the run before it;
    those to resume from, or the weights that runs ended with (``kept``).

    The newest run is the one whose folder has the highest number (``version_10``). Runs without a number (W&B) are in the
    order in which they wrote last.
    """
    runs: dict[str, list[Path]] = {}
    for path in home.rglob("*.ckpt"):
        if path.is_file() and (path.name == KEPT_WEIGHTS) == kept:
            inside = path.relative_to(home).parts
            runs.setdefault(inside[0] if len(inside) > 1 else "", []).append(path)

    def age(run: str) -> tuple[int, int]:
        number = re.search(r"version_(\d+)$", run)
        return int(number[1]) if number else -1, max(path.stat().st_mtime_ns for path in runs[run])

    return [path for run in sorted(runs, key=age, reverse=True) for path in latest_first(runs[run])]


def _checkpoint_folders(trainer: Any) -> list[Path]:
    """Return where ModelCheckpoint writes: its ``dirpath``, else below the folder of the first logger's runs."""
    own = [getattr(part, "init_args", {}).get("dirpath") for part in as_list(trainer.get("callbacks"))]
    if given := [Path(folder) for folder in dict.fromkeys(own) if folder]:
        return given
    root, loggers = Path(trainer.get("default_root_dir") or "."), trainer.get("logger")
    if loggers is False or loggers == []:
        return [root / NO_LOGGER_FOLDER]
    first = next(iter(as_list(loggers)), None)
    options = getattr(first, "init_args", {})
    name = "project" if "WandbLogger" in getattr(first, "class_path", "") else "name"
    return [Path(options.get("save_dir") or root) / (options.get(name) or "lightning_logs")]
