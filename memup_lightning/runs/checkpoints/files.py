"""Reading and writing of checkpoints: written as a whole or not at all, and read through before a run resumes from one."""

from __future__ import annotations

import difflib
import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.files import atomic_write
from memup_lightning.runs.checkpoints.trust import check_task
from memup_lightning.runs.near_paths import checkpoint_hint
from memup_lightning.specs import TaskSpec

Shapes = dict[str, torch.Size]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint plugin that writes a temporary file, waits for the disk, then renames: a kill never leaves half a file.

    Lightning's own plugin writes into the temporary folder and moves the file. Where that folder is another file system
    the move is a copy onto the place of the checkpoint before, and after a power cut the file may be empty.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with atomic_write(path) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = lambda storage, location: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; without ``weights_only=False`` no code in it is run."""
        return super().load_checkpoint(path, map_location, weights_only is not False)


def check_checkpoint(path: str | Path, option: str = "--ckpt_path") -> Shapes:
    """Read a checkpoint and refuse one that is missing, torn or not Lightning's.

    Args:
        path: of the checkpoint.
        option: where the path was given, for messages.

    Returns:
        The shape of every parameter and buffer in it.

    Raises:
        MemUPError: see above; for a torn one it names the previous one.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        names = difflib.get_close_matches(path.name, [other.name for other in near], n=1) or [x.name for x in near[:1]]
        hint = f"did you mean {path.parent / names[0]}?" if names else checkpoint_hint(path)
        what = "is a folder" if path.is_dir() else "no such file" if path.suffix else "no such file or folder"
        raise MemUPError(f"{option} {path}: {what}; {hint}")
    try:
        return read_shapes(path, option)
    except TornCheckpoint as error:
        others = [other for other in latest_first(path.parent.glob("*.ckpt")) if other != path]
        before = next((other for other in others if is_intact(other)), None)
        hint = f"take the latest intact one: {before}" if before else "take one of another run"
        raise MemUPError(f"{option} {path}: {error}; {hint}") from error


_NO_CHECKPOINTS = (".yaml", ".yml", ".json", ".csv", ".png", ".parquet")  # other files of a run, and data


class TornCheckpoint(MemUPError):
    """Error for a file that is no whole checkpoint; the message says what is wrong with it."""


def read_shapes(path: Path, option: str = "--ckpt_path") -> Shapes:
    """Read all of it. torch itself does not compare the checksums that it writes."""
    size = f"{path.stat().st_size:,} bytes"
    if path.suffix in _NO_CHECKPOINTS:
        raise MemUPError(
            f"{option} {path}: is no checkpoint; give the folder of the run, or a file of its checkpoints/"
        )
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if (part := archive.testzip()) is not None:
                    raise TornCheckpoint(f"torn ({size}; the checksum of {part} is wrong)")
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except TornCheckpoint:
        raise
    except PermissionError as error:
        raise MemUPError(f"{option} {path}: cannot be read ({error.strerror}); correct its permissions") from error
    except Exception as error:  # torch, zipfile and pickle each have their own for a broken file
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TornCheckpoint(f"no checkpoint, or one that was cut off ({size}; {reason[0][:120]})") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise MemUPError(
            f"{option} {path}: holds no state_dict, so it is no checkpoint of a Trainer; "
            "give one that ModelCheckpoint wrote"
        )
    return {name: x.shape for name, x in content["state_dict"].items() if isinstance(x, Tensor)}


def read_task(path: str | Path) -> TaskSpec | None:
    """Return the task that the model of a checkpoint was trained on; None where it holds none."""
    content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    task = content.get("hyper_parameters", {}).get("task")
    return None if task is None else check_task(task, path)


def is_intact(path: Path) -> bool:
    """Return whether a file is a whole checkpoint; all of it is read."""
    try:
        read_shapes(path)
    except MemUPError:
        return False
    return True


def latest_first(paths: Iterable[Path]) -> list[Path]:
    """Sort checkpoints of one run by the update inside, whatever their names and times of modification say.

    Those that cannot be read come first. Where updates are equal, the file written last comes first.
    """
    return sorted(paths, key=lambda path: (_updates(path), path.stat().st_mtime_ns, path.name), reverse=True)


def _updates(path: Path) -> float:
    try:
        return float(torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("global_step", -1))
    except Exception:  # torn: torch, zipfile and pickle each have their own error
        return math.inf


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
