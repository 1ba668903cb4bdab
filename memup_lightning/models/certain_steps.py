"""CertainSteps: rule which steps are predicted without memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memup_lightning.distributed import all_reduce_sum

_NO_TARGETS = -1e4  # nats: no step is as certain
_FLOOR_WEIGHT = 0.01  # of a training chunk in the average of the targets' least uncertainty


class CertainSteps(nn.Module):
    """Rule which steps are predicted without memory: those of which the local predictor is more certain than of any target.

    The predictor with memory learns targets, and outcomes that are nearly as uncertain. Of other contexts it knows nothing,
    and would be far off where the local predictor is right. Until there are targets, no step counts as certain.

    Args:
        margin: nats below the least uncertain target of an episode, from which on a step counts as certain.

    Attributes:
        below: uncertainty below which a step is certain, in nats: a moving average over the training chunks.
    """

    below: Tensor

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin
        self.register_buffer("below", torch.tensor(_NO_TARGETS))

    @torch.no_grad()
    def observe(self, uncertainty: Tensor, valid: Tensor) -> None:
        """Take note of the local predictor's uncertainty of a chunk's targets, ``[B, K]``, where ``valid``."""
        some = valid.any(1)
        least = uncertainty.masked_fill(~valid, torch.inf).amin(1).where(some, 0)
        total, lanes = all_reduce_sum(torch.stack([least.sum(), some.sum().to(least)])).to(self.below)
        now = total / lanes.clamp(min=1) - self.margin
        moved = torch.where(self.below <= _NO_TARGETS, now, torch.lerp(self.below, now, _FLOOR_WEIGHT))
        self.below.copy_(torch.where(lanes > 0, moved, self.below))

    def forward(self, params: Tensor, local: Tensor, uncertainty: Tensor) -> Tensor:
        """Take the local prediction of the certain steps.

        Args:
            params: of the outcomes' distributions, with memory, ``[..., num_parameters]``.
            local: the same without memory; its shape broadcasts.
            uncertainty: of ``local``, ``[...]``.
        """
        return torch.where((uncertainty < self.below)[..., None], local, params)
