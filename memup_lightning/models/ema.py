"""Exponential moving averages of modules that are trained.

``torch.optim.swa_utils.AveragedModel`` averages one module. Here an average has several parts of a task, which would need a
module around them, and its counter is read at every update, for which the host would wait for an accelerator. So only its
averaging function is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def update_averages(averages: Sequence[Tensor], tensors: Sequence[Tensor], decay: float) -> None:
    """Update the moving averages of tensors in place; ``decay`` is in [0, 1]."""
    get_ema_multi_avg_fn(decay)(list(averages), list(tensors), torch.zeros(()))


@torch.no_grad()
def update_ema(copies: Iterable[nn.Module], learners: Iterable[nn.Module], decay: float) -> None:
    """Update the moving averages of modules that are trained; buffers, such as running means, are copied.

    Args:
        copies: the averages, with the same parts as ``learners``.
        learners: the module of each copy.
        decay: decay of the averages, in [0, 1].
    """
    pairs = list(zip(copies, learners, strict=True))
    ours = [x for copied, _ in pairs for x in copied.parameters()]
    theirs = [x for _, learned in pairs for x in learned.parameters()]
    update_averages(ours, theirs, decay)
    for copied, learned in pairs:
        for x, new in zip(copied.buffers(), learned.buffers(), strict=True):
            x.copy_(new)
