"""Comparison of a memory with the predictor that has none, at single steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class OutcomePrediction:
    """Predictions of the outcomes of K steps of B episodes, from D states each.

    Attributes:
        nll: negative log-likelihood of the outcomes, in bits, ``[B, K, D]``.
        residual: what is left to explain of them, ``[B, K, D]``: see
            :meth:`~memup_lightning.models.outcomes.Outcome.residual`.
        value: predicted outcomes, ``[B, K, D, *shape]``.
        std: standard deviations of the predicted distributions, ``[B, K, D]``; None for classes and vectors.
    """

    nll: Tensor
    residual: Tensor
    value: Tensor
    std: Tensor | None


@dataclass
class Comparison:
    """Predictions by the memory, and by the predictor that has none (there D is 1)."""

    with_memory: OutcomePrediction
    without_memory: OutcomePrediction

    @property
    def gain(self) -> Tensor:
        """Memory gain in bits, ``[B, K, D]``: an estimate of I(y; m | c)."""
        return self.without_memory.nll - self.with_memory.nll
