"""Single steps of a source with their local contexts, as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from memup_lightning.chunk import StepBatch
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, EpisodeSource
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, IntArray


class StepReader:
    """Reads single steps with their local context (:class:`~memup_lightning.chunk.StepBatch`) from a source."""

    def __init__(self, source: EpisodeSource, task: TaskSpec) -> None:
        self.source = source
        self.task = task
        self.names = [name for name in (OUTCOME, HAS_OUTCOME, EVAL_MASK) if name in source.fields]

    def read(self, episodes: IntArray, positions: IntArray) -> Arrays:
        """Return each context field ``[rows, W, *shape]``, outcome and flags ``[rows, *shape]``."""
        window = self.task.window
        arrays = self.source.gather(episodes, positions - window + 1, window, [*self.task.context, *self.names])
        return {name: x[:, -1] if name in self.names else x for name, x in arrays.items()}

    def steps(self, arrays: Arrays, position: IntArray, valid: np.ndarray, shape: tuple[int, ...]) -> StepBatch:
        """Convert the result of :meth:`read` to tensors, with rows in the given shape."""
        ok = torch.from_numpy(valid.reshape(shape))
        outcome = _tensor(arrays[OUTCOME], shape)
        if HAS_OUTCOME in arrays:
            ok = ok & _tensor(arrays[HAS_OUTCOME], shape)
            outcome = mask_unknown(outcome, ok)
        eval_mask = _tensor(arrays[EVAL_MASK], shape) if EVAL_MASK in arrays else ok
        return StepBatch(
            position=torch.from_numpy(position.reshape(shape)),
            valid=ok,
            context={name: _tensor(arrays[name], shape) for name in self.task.context},
            outcome=outcome,
            eval_mask=eval_mask & ok,
        )


def _tensor(array: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    return as_tensor(np.ascontiguousarray(array)).view(*shape, *array.shape[1:])


def as_tensor(array: np.ndarray) -> Tensor:
    """Return the array as a tensor; numbers of another precision as float32, which networks read."""
    return torch.from_numpy(array if array.dtype.kind != "f" else array.astype(np.float32, copy=False))


def mask_unknown(outcome: Tensor, known: Tensor) -> Tensor:
    """Set unknown outcomes, which may be NaN or no class, to 0: a loss that does not count still has a gradient."""
    return outcome.where(known.view(*known.shape, *[1] * (outcome.dim() - known.dim())), 0)
