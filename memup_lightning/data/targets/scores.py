"""Check of the scores that an uncertainty or a selector returns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memup_lightning.exceptions import MemUPError


def check_scores(name: str, score: Any, counts: Tensor, episode: Tensor, position: Tensor) -> Tensor:
    """Return the scores as float32; refuse those by which nothing can be chosen.

    Args:
        name: of the method that returned them.
        score: should be a tensor of numbers, ``[rows, steps]``; -inf: the step must not be chosen.
        counts: steps that can be chosen, bool ``[rows, steps]``; the scores of others are not looked at.
        episode: of each row, ``[rows]``.
        position: number of each step in its episode, ``[rows, steps]``.

    Raises:
        MemUPError: no tensor, another shape, complex numbers, NaN or +inf.
    """
    shape = tuple(counts.shape)
    if not isinstance(score, Tensor):
        raise MemUPError(
            f"{name} returned a {type(score).__name__}; it must return a tensor [rows, steps] = {list(shape)}"
        )
    if tuple(score.shape) != shape:
        raise MemUPError(f"{name} returned shape {list(score.shape)}; it must return [rows, steps] = {list(shape)}")
    if score.is_complex():
        raise MemUPError(f"{name} returned {str(score.dtype).removeprefix('torch.')}; it must return real numbers")
    number: Tensor = score.to(counts.device, torch.float32)
    wrong = (number.isnan() | number.isposinf()) & counts
    if wrong.any():
        row, step = wrong.nonzero()[0].tolist()
        value = f"{score[row, step].item()}" + (", which is inf in float32," if score[row, step].isfinite() else "")
        raise MemUPError(
            f"{name} returned {value} for step {int(position[row, step])} of episode {int(episode[row])}; a score must be "
            "finite, or -inf where the step must not be chosen"
        )
    return number
