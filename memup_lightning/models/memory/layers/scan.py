"""Linear recurrence over a chunk without a loop over its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def linear_scan(decay: Tensor, inject: Tensor, state: Tensor) -> Tensor:
    """Compute ``h_t = decay_t * h_{t-1} + inject_t`` for all steps, in log2(steps) rounds.

    Numbers are real or complex. Each round joins every step with the one 2^n before it (Hillis & Steele, "Data parallel
    algorithms", CACM 1986).
    Nothing is divided, so it is stable wherever ``|decay| <= 1``. The backward pass is the same recurrence from the
    last step to the first, so it stores only ``decay`` and the result, whatever the number of rounds.

    Args:
        decay: ``[lanes, steps, units]``.
        inject: ``[lanes, steps, units]``.
        state: h before the first step, ``[lanes, units]``.

    Returns:
        h of every step, ``[lanes, steps, units]``.
    """
    return _apply(decay, inject, state) if torch.is_grad_enabled() else _scan(decay, inject, state)


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, decay: Tensor, inject: Tensor, state: Tensor) -> Tensor:
        h = _scan(decay, inject, state)
        ctx.save_for_backward(decay, h, state)
        return h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        decay, h, state = (x.conj() for x in ctx.saved_tensors)  # torch's gradient of complex numbers; real ones stay
        onward = torch.cat([decay[:, 1:], torch.zeros_like(decay[:, :1])], 1)  # from a step to the one after it
        d_inject = _doubling(onward.flip(1), gradients[0].flip(1)).flip(1)
        before = torch.cat([state[:, None], h[:, :-1]], 1)
        return d_inject * before, d_inject, d_inject[:, 0] * decay[:, 0]


_apply: Callable[[Tensor, Tensor, Tensor], Tensor] = _LinearScan.apply


def _scan(decay: Tensor, inject: Tensor, state: Tensor) -> Tensor:
    first = torch.addcmul(inject[:, :1], decay[:, :1], state[:, None])
    return _doubling(decay, torch.cat([first, inject[:, 1:]], 1))


def _doubling(decay: Tensor, h: Tensor) -> Tensor:
    distance = 1
    while distance < h.shape[1]:
        h = torch.cat([h[:, :distance], torch.addcmul(h[:, distance:], decay[:, distance:], h[:, :-distance])], 1)
        decay = torch.cat([decay[:, :distance], decay[:, distance:] * decay[:, :-distance]], 1)
        distance *= 2
    return h
