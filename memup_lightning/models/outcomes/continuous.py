"""Base class of distributions over numbers and vectors."""

from __future__ import annotations

import math
from abc import abstractmethod

from torch import Tensor

from memup_lightning.models.outcomes.base import Outcome
from memup_lightning.models.scaling import Standardizer
from memup_lightning.specs import FieldSpec


class ContinuousOutcome(Outcome):
    """Base class of the distributions over numbers and vectors; its scores include the squared error.

    The distribution is that of the standardised outcome: each component minus its center, divided by its spread
    (:class:`~memup_lightning.models.scaling.Standardizer`), which are estimated from training episodes when a run begins.
    Predictions, likelihood and squared error are in the outcome's own unit; arguments are relative to the spread. Without
    statistics, in a module that was not trained on recorded episodes, the spread is 1.

    Args:
        field: the outcome field.
        tolerance: a prediction counts as right within this distance in every component, in spreads.
    """

    score_names = ("accuracy", "nll", "mse")

    def __init__(self, field: FieldSpec, tolerance: float) -> None:
        super().__init__()
        self.shape = field.shape
        self.size = math.prod(field.shape)
        self.tolerance = tolerance
        self.standardizer = Standardizer(self.size, rare_decide=True)

    @abstractmethod
    def _mean(self, params: Tensor) -> Tensor:
        """Return the mean of the standardised outcome, ``[..., size]``."""

    def _standardize(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the standardised outcome, ``[..., size]``."""
        z: Tensor = self.standardizer(outcome.float().reshape(*params.shape[:-1], self.size))
        return z

    def _errors(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return prediction minus outcome in spreads, ``[..., size]``."""
        return self._mean(params) - self._standardize(params, outcome)

    def predict(self, params: Tensor) -> Tensor:
        return self._in_own_unit(self._mean(params))

    def _in_own_unit(self, z: Tensor) -> Tensor:
        """Return standardised numbers ``[..., size]`` in the outcome's unit, ``[..., *shape]``."""
        return self.standardizer.inverse(z).reshape(*z.shape[:-1], *self.shape)

    def correct(self, params: Tensor, outcome: Tensor) -> Tensor:
        return (self._errors(params, outcome).abs().amax(-1) <= self.tolerance).float()

    def too_small_to_tell(self, lowest: Tensor, highest: Tensor) -> str | None:
        width = float(((highest - lowest).flatten().abs() / self.standardizer.scale).max())
        if width == 0:
            return (
                "all evaluated outcomes are alike, so val/accuracy means nothing; evaluate steps whose outcomes differ"
            )
        if width > 2 * self.tolerance:
            return None
        return (
            f"the evaluated outcomes differ by {width:.2g} spreads of all outcomes at most: with "
            f"tolerance={self.tolerance:g} one constant is right for all, so val/accuracy means nothing; lower tolerance, "
            "or evaluate steps whose outcomes differ"
        )

    def residual(self, params: Tensor, outcome: Tensor) -> Tensor:
        return (self._errors(params, outcome) * self.standardizer.scale).square().mean(-1)

    def own_uncertainty(self, outcome: Tensor) -> float:
        return float(outcome.cpu().double().reshape(len(outcome), -1).var(0, correction=0).mean())

    def scores(self, params: Tensor, outcome: Tensor) -> dict[str, Tensor]:
        return super().scores(params, outcome) | {"mse": self.residual(params, outcome)}
