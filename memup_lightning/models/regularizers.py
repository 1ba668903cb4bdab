"""Drift regularizer: a loss on slow movement of the memory, which adds up over many chunks."""

from __future__ import annotations

import torch
from torch import Tensor

from memup_lightning.distributed import all_reduce_sum

_MIN_VARIANCE = 1e-12  # variance of an input that never changes


def drift(memory: Tensor, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Compute how far the memory moves at every step but the first, weighted less where the step's input is rare.

    Each move is the total variation ``|m_t - m_(t-1)|_1``, divided by ``1 + max z^2``, z the distance of the encoded
    input from the mean of the chunk's inputs in standard deviations. So slow drift
    at usual inputs is penalised, and the change that a rare cue makes is not.

    Args:
        memory: m of every step, ``[B, T, output_size]``.
        x: encoded inputs, ``[B, T, input_size]``.
        valid: steps that belong to an episode, ``[B, T]``.

    Returns:
        The moves ``[B, T - 1]``, in the unit of m, and which of them count.
    """
    memory = memory.float()
    # Absolute values: slow drift counts as much as it adds up to. Squares would be dominated by jumps.
    move = (memory[:, 1:] - memory[:, :-1]).abs().sum(-1)
    return move / (1 + _rarity(x, valid)[:, 1:]), valid[:, 1:] & valid[:, :-1]


@torch.no_grad()
def _rarity(x: Tensor, valid: Tensor) -> Tensor:
    """Compute max z^2 of every step's input, ``[B, T]``; mean and variance are those of the valid steps of all ranks."""
    x, there = x.float(), valid.unsqueeze(-1)
    number = all_reduce_sum(valid.sum()).clamp(min=1)
    mean = all_reduce_sum(x.where(there, 0).sum((0, 1))) / number
    square = (x - mean).square()
    variance = all_reduce_sum(square.where(there, 0).sum((0, 1))) / number
    return (square / variance.clamp(min=_MIN_VARIANCE)).amax(-1)
