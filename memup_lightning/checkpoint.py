"""Whether a checkpoint can be resumed from, found out before a run begins."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memup_lightning.errors import MemUPError

LIGHTNING_KEYWORDS = ("best", "last", "hpc", "registry")


def check_checkpoint(path: str | Path) -> dict[str, torch.Size]:
    """Read a checkpoint and refuse one that is missing, cut off or not Lightning's.

    Returns:
        The shape of every parameter and buffer in it; empty for a keyword such as ``last``, which Lightning resolves.

    Raises:
        MemUPError: see above.
    """
    path = Path(path)
    if str(path).startswith(LIGHTNING_KEYWORDS) and not path.exists():
        return {}
    if not path.is_file():
        near = sorted(path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        names = difflib.get_close_matches(path.name, [other.name for other in near], n=1) or [x.name for x in near[:1]]
        hint = f"did you mean {path.parent / names[0]}?" if names else "checkpoints lie in <run folder>/checkpoints"
        raise MemUPError(f"--ckpt_path {path}: {'is a folder' if path.is_dir() else 'no such file'}; {hint}")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise MemUPError(f"--ckpt_path {path}: cannot be read ({error.strerror}); mend its permissions") from error
    except Exception as error:  # torch, zipfile and pickle each have their own for a broken file
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise MemUPError(
            f"--ckpt_path {path}: no checkpoint, or one that was cut off ({path.stat().st_size:,} bytes; "
            f"{reason[0][:120]}); take another one of its folder"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise MemUPError(
            f"--ckpt_path {path}: holds no state_dict, so it is no checkpoint of a Trainer; "
            "give one that ModelCheckpoint wrote"
        )
    return {name: x.shape for name, x in content["state_dict"].items() if isinstance(x, Tensor)}


def check_fits(path: str | Path, shapes: Mapping[str, torch.Size], model: nn.Module) -> None:
    """Refuse a checkpoint of a model with other sizes or parts.

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
                f"--ckpt_path {path}: does not fit this model: {name} is {_shape(was)} in the checkpoint and "
                f"{_shape(now)} here; give model and data the settings of that run, which its config.yaml keeps"
            )


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(list(shape))
