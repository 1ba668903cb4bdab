"""Checkpoints: written as a whole or not at all, found again, and read through before a run goes on from one."""

from __future__ import annotations

import difflib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.run_folder import NO_LOGGER_FOLDER

Shapes = dict[str, torch.Size]
_say = rank_zero_only(print)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the checkpoint, waits for the disk, then gives the file its name: no kill leaves half of one.

    Lightning's own plugin writes into the temporary folder and moves the file. Where that folder is another file system
    the move is a copy onto the place of the checkpoint before, and after a power cut the file may be empty.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def check_checkpoint(path: str | Path, option: str = "--ckpt_path") -> Shapes:
    """Read a checkpoint and refuse one that is missing, torn or not Lightning's.

    Args:
        path: of the checkpoint.
        option: where the path was given, for messages.

    Returns:
        The shape of every parameter and buffer in it.

    Raises:
        MemUPError: see above; of a torn one it names the one before.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        names = difflib.get_close_matches(path.name, [other.name for other in near], n=1) or [x.name for x in near[:1]]
        hint = f"did you mean {path.parent / names[0]}?" if names else "checkpoints lie in <run folder>/checkpoints"
        raise MemUPError(f"{option} {path}: {'is a folder' if path.is_dir() else 'no such file'}; {hint}")
    try:
        return _read(path, option)
    except TornCheckpoint as error:
        older = [other for other in _newest_first(path.parent) if _age(other) < _age(path)]
        before = next((other for other in older if _is_intact(other)), None)
        hint = f"take the one before it: {before}" if before else "take another one of its folder"
        raise MemUPError(f"{option} {path}: {error}; {hint}") from error


def last_checkpoint(trainer: Any, must_exist: bool) -> tuple[Path, Shapes] | None:
    """Where ``--ckpt_path last`` goes on: the newest intact checkpoint of the newest run that has one.

    Says which one it is, and which newer ones it skipped because they are torn.

    Args:
        trainer: the trainer's config, which says where checkpoints lie.
        must_exist: whether to refuse where there is none. Else the run begins anew, so that one command serves for the
            first start and for every restart.

    Raises:
        MemUPError: there is none, or none is intact.
    """
    homes = _homes(trainer)
    torn = 0
    for path in (path for home in homes for path in _newest_run_first(home)):
        try:
            shapes = _read(path)
        except TornCheckpoint as error:
            torn += 1
            _say(f"skipped {path}: {error}")
            continue
        _say(f"going on from {path}")
        return path, shapes
    places = " or ".join(map(str, homes))
    if torn:
        raise MemUPError(
            f"--ckpt_path last: every checkpoint in {places} is torn ({torn}); begin anew without --ckpt_path"
        )
    if must_exist:
        raise MemUPError(f"--ckpt_path last: there is no checkpoint in {places}; give the path of one")
    _say(f"no checkpoint in {places} yet: the run begins anew")
    return None


def newest_checkpoint(folder: str | Path) -> Path:
    """The newest intact checkpoint of the run below a folder that wrote last; it says which one that is.

    Raises:
        MemUPError: there is none.
    """
    found = next((path for path in _newest_run_first(Path(folder)) if _is_intact(path)), None)
    if found is None:
        raise MemUPError(f"{folder}: there is no intact checkpoint in this folder; give the path of one")
    _say(f"taking {found}")
    return found


class TornCheckpoint(MemUPError):
    """A file that is no whole checkpoint; the message says what is wrong with it."""


def _read(path: Path, option: str = "--ckpt_path") -> Shapes:
    """Read all of it. torch itself does not compare the checksums that it writes."""
    size = f"{path.stat().st_size:,} bytes"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if (part := archive.testzip()) is not None:
                    raise TornCheckpoint(f"torn ({size}; the checksum of {part} is wrong)")
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except TornCheckpoint:
        raise
    except PermissionError as error:
        raise MemUPError(f"{option} {path}: cannot be read ({error.strerror}); mend its permissions") from error
    except Exception as error:  # torch, zipfile and pickle each have their own for a broken file
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TornCheckpoint(f"no checkpoint, or one that was cut off ({size}; {reason[0][:120]})") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise MemUPError(
            f"{option} {path}: holds no state_dict, so it is no checkpoint of a Trainer; "
            "give one that ModelCheckpoint wrote"
        )
    return {name: x.shape for name, x in content["state_dict"].items() if isinstance(x, Tensor)}


def _is_intact(path: Path) -> bool:
    try:
        _read(path)
    except MemUPError:
        return False
    return True


def _age(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ckpt"), key=_age, reverse=True)


def _newest_run_first(home: Path) -> list[Path]:
    """All checkpoints below a folder: those of the run that wrote last, newest first, then those of the one before."""
    runs: dict[str, list[Path]] = {}
    for path in home.rglob("*.ckpt"):
        if path.is_file():
            inside = path.relative_to(home).parts
            runs.setdefault(inside[0] if len(inside) > 1 else "", []).append(path)
    by_age = [sorted(paths, key=_age, reverse=True) for paths in runs.values()]
    return [path for paths in sorted(by_age, key=lambda paths: _age(paths[0]), reverse=True) for path in paths]


def _homes(trainer: Any) -> list[Path]:
    """Where ModelCheckpoint writes: its ``dirpath``, else below the folder of the first logger's runs."""
    callbacks = trainer.get("callbacks") or []
    own = [getattr(part, "init_args", {}).get("dirpath") for part in (callbacks if isinstance(callbacks, list) else [])]
    if given := [Path(folder) for folder in dict.fromkeys(own) if folder]:
        return given
    root, loggers = Path(trainer.get("default_root_dir") or "."), trainer.get("logger")
    first = loggers[0] if isinstance(loggers, list) and loggers else loggers
    if first is False or first == []:
        return [root / NO_LOGGER_FOLDER]
    options = getattr(first, "init_args", {})
    name = "project" if "WandbLogger" in getattr(first, "class_path", "") else "name"
    return [Path(options.get("save_dir") or root) / (options.get(name) or "lightning_logs")]


def check_fits(
    path: str | Path, shapes: Mapping[str, torch.Size], model: nn.Module, option: str = "--ckpt_path"
) -> None:
    """Refuse a checkpoint of a model with other sizes or parts.

    Args:
        path: of the checkpoint.
        shapes: what :func:`check_checkpoint` found in it; empty where there is nothing to compare.
        model: that is to take it over.
        option: where the path was given, for messages.

    Raises:
        MemUPError: the first difference, with the sizes on both sides.
    """
    if not shapes:
        return
    ours = {name: x.shape for name, x in model.state_dict().items()}
    for name in [*ours, *shapes]:
        was, now = shapes.get(name), ours.get(name)
        if was != now:
            raise MemUPError(
                f"{option} {path}: does not fit this model: {name} is {_shape(was)} in the checkpoint and "
                f"{_shape(now)} here; give model and data the settings of that run, which its config.yaml keeps"
            )


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(list(shape))
