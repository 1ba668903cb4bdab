"""FrozenParts: what runs of a trained memory outside of training."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.loading import load_memory
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.runs.checkpoints.lookup import weights_to_use
from memup_lightning.specs import TaskSpec


class FrozenParts(NamedTuple):
    """Encoder and core of a trained memory on the CPU, with fixed weights.

    Attributes:
        task: that it was trained on.
        encoder: of its inputs.
        core: a :class:`~memup_lightning.models.memory.Memory`, or a module with its signature.
        path: of the checkpoint; None where the memory is of a model.
    """

    task: TaskSpec
    encoder: nn.Module
    core: Any
    path: Path | None = None


def frozen_parts(checkpoint: Any) -> FrozenParts:
    """Return the parts of a memory.

    Args:
        checkpoint: path of a checkpoint, or of a folder, whose newest run counts; or a model, whose parts are
            copied; or parts.

    Raises:
        MemUPError: no such checkpoint, one of something else, or an object of another class.
    """
    if isinstance(checkpoint, FrozenParts):
        return checkpoint
    if isinstance(checkpoint, MemoryTask):
        return _freeze(checkpoint)
    if not isinstance(checkpoint, str | Path):
        given = checkpoint.__name__ if isinstance(checkpoint, type) else type(checkpoint).__name__
        raise MemUPError(
            f"checkpoint is {given}; give the path of a checkpoint or of a run's folder, or a trained model such as MemUP"
        )
    path = weights_to_use(checkpoint)
    return _load(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=8)
def _load(path: Path, written: int) -> FrozenParts:
    """Load a checkpoint once for all environments of a process."""
    return _freeze(load_memory(path))._replace(path=path)


def _freeze(module: MemoryTask) -> FrozenParts:
    encoder, core = (copy.deepcopy(part).cpu().eval().requires_grad_(False) for part in (module.encoder, module.memory))
    return FrozenParts(module.task, encoder, core)
