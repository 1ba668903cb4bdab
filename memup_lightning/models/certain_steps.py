"""Prediction of outcomes with memory, and the rule which steps are predicted without."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memup_lightning.chunk import Fields
from memup_lightning.distributed import all_reduce_sum
from memup_lightning.models.outcomes import Outcome
from memup_lightning.models.uncertainty import LocalPredictor

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


class PredictsOutcomes:
    """Mixin of modules that predict outcomes with memory, and those of certain steps without.

    Attributes:
        context_encoder: encoder of the local context.
        predictor: q_phi, with memory.
        local: d_psi, without.
        outcome: the outcomes' distribution.
        certain: rule which steps are predicted without memory; None: no step.
    """

    context_encoder: nn.Module
    predictor: nn.Module
    local: LocalPredictor
    outcome: Outcome
    certain: CertainSteps | None

    def predict_outcomes(
        self, context: Fields, memory: Tensor, local: Tensor | None = None, distance: Tensor | None = None
    ) -> Tensor:
        """Predict outcomes with memory; those of certain steps without (:class:`CertainSteps`).

        Args:
            context: of the steps, each field ``[..., W, *shape]``.
            memory: m, ``[..., output_size]``.
            local: prediction of the local predictor; by default it is computed here.
            distance: steps from the state to the step, ``[...]``; by default 0.

        Returns:
            Parameters of the outcomes' distributions, ``[..., num_parameters]``.
        """
        params: Tensor = self.predictor(self.context_encoder(context), memory, distance)
        if self.certain is None:
            return params
        local = self.local(context) if local is None else local
        out: Tensor = self.certain(params, local, self.outcome.uncertainty(local))
        return out
