"""Folder of a run: a new one for each run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger

from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.lightning_private import forget_version, given_version
from memup_lightning.user_warnings import option

NO_LOGGER_FOLDER = "lightning_logs"
"""Folder of the runs without a logger, below ``default_root_dir``; Lightning's own loggers have the same default."""

_folders: WeakKeyDictionary[Trainer, Path] = WeakKeyDictionary()
_made: list[Path] = []  # by this process


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of this run; the first call makes it, and all ranks must make that call.

    It is the folder of the first logger: ``save_dir/name/version``. A logger that names no folder for each run (W&B) gets
    ``save_dir/project/id``. Without a logger it is ``default_root_dir/lightning_logs/version_N``.

    Args:
        trainer: the trainer of the run.
    """
    if trainer not in _folders:
        folder = _make_folder(trainer) if trainer.is_global_zero else Path()  # that of rank zero is sent to the others
        _folders[trainer] = trainer.strategy.broadcast(folder)
    return _folders[trainer]


def claim_versions(loggers: Sequence[Logger]) -> None:
    """Make the folder of each logger that numbers its runs, so that a run started at the same time takes another.

    Call it on rank zero, before the loggers are used.

    Args:
        loggers: the loggers of the trainer; those of one run may share a folder.

    Raises:
        MemUPError: a logger was given the version of a run that exists.
    """
    given = [given_version(logger) for logger in loggers]
    chosen = [logger.log_dir for logger in loggers]  # before the first folder is made: the loggers may share one
    claimed: set[str] = set()
    for logger, version, folder in zip(loggers, given, chosen, strict=True):
        while folder is not None and folder not in claimed:
            if _make_new(Path(folder)):
                claimed.add(folder)
            elif version is None:
                forget_version(logger)
                folder = logger.log_dir
            else:
                given_here = option("trainer.logger.init_args.version", version)
                raise MemUPError(
                    f"{given_here}: the run {folder} exists and would be overwritten; leave version out to get the next "
                    "number, or give another"
                )


def remove_empty_folders() -> None:
    """Remove the folders that this process made for runs and that hold nothing: a refused command leaves none behind."""
    while _made:
        with contextlib.suppress(OSError):  # it holds something, or is gone
            _made.pop().rmdir()


def configured_folders(trainer: Any) -> dict[str, str]:
    """Return the folders to which loggers and callbacks of a trainer's config write: the option that sets it -> folder."""
    root = trainer.get("default_root_dir") or "."
    folders = {"trainer.default_root_dir": str(root)}
    for key, argument in (("logger", "save_dir"), ("callbacks", "dirpath")):
        for part in as_list(trainer.get(key)):
            folder = getattr(part, "init_args", {}).get(argument)
            if folder:
                folders[f"trainer.{key}.init_args.{argument}"] = str(folder)
                if key == "logger":
                    folders.pop("trainer.default_root_dir", None)
    return folders


def check_writable(folder: Path, key: str = "trainer.logger.init_args.save_dir") -> None:
    """Make a folder and check that files can be written to it.

    Args:
        folder: the folder; missing parents are made too.
        key: of the setting that gives it, for the message.

    Raises:
        MemUPError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        blocked = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        reason = f"{blocked} is a file" if blocked.is_file() else error.strerror
        raise MemUPError(
            f"the run folder {folder} cannot be written to ({reason}); choose another, for example "
            f"{option(key, '/tmp/runs')}"
        ) from error


def as_list(parts: Any) -> list[Any]:
    """Return the parts of a config key that takes one part, a list of them, or none."""
    return parts if isinstance(parts, list) else [] if parts is None else [parts]


def nearby(path: Path) -> str:
    """Return a path relative to the working directory, where it is below that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _make_folder(trainer: Trainer) -> Path:
    root = Path(trainer.default_root_dir)
    if not trainer.loggers:
        check_writable(root, "trainer.default_root_dir")
        return _first_new(root / NO_LOGGER_FOLDER / f"version_{number}" for number in count())
    first = trainer.loggers[0]
    if first.log_dir is not None:
        check_writable(folder := Path(first.log_dir))
        return folder
    version = first.version if isinstance(first.version, str) else f"version_{first.version}"
    folder = Path(first.save_dir or root) / str(first.name) / version  # as ModelCheckpoint joins them
    check_writable(folder.parent)
    return _first_new(folder if number == 1 else folder.with_name(f"{version}-{number}") for number in count(1))


def _first_new(folders: Iterable[Path]) -> Path:
    return next(folder for folder in folders if _make_new(folder))


def _make_new(folder: Path) -> bool:
    """Make a folder; return False where it holds something already."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    _made.append(folder)
    return True
