"""Distribution of a number by its quantiles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.outcomes.base import describe
from memup_lightning.models.outcomes.continuous import ContinuousOutcome
from memup_lightning.specs import FieldSpec

_MIN_WIDTH = 0.1  # spreads between neighbouring quantiles that the likelihood distinguishes


class QuantileOutcome(ContinuousOutcome):
    """Distribution of a number by its quantiles, of any shape, with several modes too (Dabney et al., AAAI 2018).

    Trained with the quantile Huber loss (their equation 10). The likelihood is that of the piecewise linear
    distribution function through the quantiles, with exponential tails.

    Args:
        field: the outcome field; the model fills it in.
        tolerance: a prediction counts as right within this distance, in spreads; the task fills it in.
        num_quantiles: N; the quantiles are at (i + 1/2) / N.
        kappa: threshold between the squared and the linear part of the loss, in spreads of the outcome.

    Raises:
        MemUPError: the outcome is a class number or has several components; fewer than 2 quantiles.
    """

    uncertainty_unit = "spreads"
    taus: Tensor

    def __init__(
        self,
        field: FieldSpec,
        tolerance: float = 0.25,
        num_quantiles: int = 16,
        kappa: float = 0.03,
    ) -> None:
        super().__init__(field, tolerance)
        if field.type != "vector" or math.prod(field.shape) != 1:
            raise MemUPError(
                f"QuantileOutcome needs one number a step, but this task's outcome is {describe(field)}; "
                "use CategoricalOutcome for classes, GaussianOutcome for vectors"
            )
        if num_quantiles < 2 or not kappa > 0:
            raise MemUPError(f"num_quantiles={num_quantiles}, kappa={kappa}: at least 2 quantiles; kappa above 0")
        self.kappa = kappa
        self.num_parameters = num_quantiles
        self.register_buffer("taus", (torch.arange(num_quantiles) + 0.5) / num_quantiles, persistent=False)

    def loss(self, params: Tensor, outcome: Tensor) -> Tensor:
        error = self._standardize(params, outcome) - params
        size = error.abs()
        huber = torch.where(size <= self.kappa, 0.5 * error.square(), self.kappa * (size - 0.5 * self.kappa))
        return ((self.taus - (error < 0).float()).abs() * huber / self.kappa).mean(-1)

    def nll(self, params: Tensor, outcome: Tensor) -> Tensor:
        y = self._standardize(params, outcome)
        q = params.sort(-1).values
        width = (q[..., 1:] - q[..., :-1]).clamp(min=_MIN_WIDTH)
        q = torch.cat([q[..., :1], q[..., :1] + width.cumsum(-1)], dim=-1)
        mass = 1 / self.num_parameters
        inside = math.log(mass) - width.log()
        tail = math.log(mass / 2)
        below = tail - width[..., :1].log() - (q[..., :1] - y).clamp(min=0) / width[..., :1]
        above = tail - width[..., -1:].log() - (y - q[..., -1:]).clamp(min=0) / width[..., -1:]
        log_density = torch.cat([below, inside, above], dim=-1)
        segment = (y >= q).sum(-1, keepdim=True)
        return self.standardizer.log_scale() - log_density.gather(-1, segment).squeeze(-1)

    def uncertainty(self, params: Tensor) -> Tensor:
        """Return the standard deviation of the quantiles in spreads, ``[...]``."""
        return params.std(-1, correction=0)

    def reported_uncertainty(self, params: Tensor) -> Tensor:
        return self.std(params)

    def std(self, params: Tensor) -> Tensor:
        return self.uncertainty(params) * self.standardizer.scale

    def interval(self, params: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Interpolate between the quantiles; beyond the first and the last one the tails are exponential."""
        q = params.sort(-1).values
        lower, upper = self._quantile(q, 0.5 - level / 2), -self._quantile(-q.flip(-1), 0.5 - level / 2)
        return self._in_own_unit(lower), self._in_own_unit(upper)

    def _quantile(self, q: Tensor, share: float) -> Tensor:
        """Return the quantile of a share below one half, ``[..., 1]``."""
        place = share * self.num_parameters - 0.5
        if place < 0:
            width = (q[..., 1:2] - q[..., :1]).clamp(min=_MIN_WIDTH)
            return q[..., :1] + width * math.log(share * 2 * self.num_parameters)
        left = int(place)
        return q[..., left : left + 1].lerp(q[..., left + 1 : left + 2], place - left)

    def _mean(self, params: Tensor) -> Tensor:
        return params.mean(-1, keepdim=True)
