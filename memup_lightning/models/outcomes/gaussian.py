"""Normal distribution of a number or vector."""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import Tensor
from torch.nn import functional as F

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.outcomes.base import describe
from memup_lightning.models.outcomes.continuous import ContinuousOutcome
from memup_lightning.specs import FieldSpec

_OUTLIERS = 0.01  # share of the outcomes that a prediction is taken to miss by a spread or more, however sure it is


class GaussianOutcome(ContinuousOutcome):
    """Normal distribution of a number or vector, with independent components.

    Args:
        field: the outcome field; the model fills it in.
        tolerance: a prediction counts as right within this distance in every component, in spreads; the task fills it in.
        learned_variance: whether the network puts out the variance too. A fixed one makes the entropy the same
            everywhere; targets can then be selected by :class:`~memup_lightning.models.uncertainty.AverageSurprise`
            only.
        min_std: smallest standard deviation, in spreads of the outcome, and the fixed one.

    Raises:
        MemUPError: the outcome is a class number; ``min_std`` is not above 0.
    """

    def __init__(
        self, field: FieldSpec, tolerance: float = 0.25, learned_variance: bool = True, min_std: float = 0.1
    ) -> None:
        super().__init__(field, tolerance)
        if field.type != "vector":
            raise MemUPError(
                f"GaussianOutcome needs a number, but this task's outcome is {describe(field)}; use CategoricalOutcome"
            )
        if not min_std > 0:
            raise MemUPError(f"min_std={min_std}: must be above 0")
        self.learned_variance = learned_variance
        self.min_std = min_std
        self.num_parameters = self.size * (2 if learned_variance else 1)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        if not self.learned_variance:
            return params, torch.full_like(params, self.min_std)
        mean, free = params.chunk(2, dim=-1)
        return mean, F.softplus(free) + self.min_std

    def loss(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the negative log-likelihood of the standardised outcome, in nats, ``[...]``."""
        return self._sum(self._standardized_nll(params, outcome)[0])

    def memory_loss(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the negative log-likelihood of the standardised outcome, weighted by the deviation, ``[...]``.

        The gradient of the plain likelihood grows with 1/variance: steps that are certain already would outweigh the few
        that the memory must explain. The weight is a constant for the gradient (beta-NLL with beta = 0.5, Seitzer et al.,
        "On the pitfalls of heteroscedastic uncertainty estimation", ICLR 2022).
        """
        nll, std, _ = self._standardized_nll(params, outcome)
        return self._sum(nll * std.detach())

    def nll(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the negative log-likelihood where one outcome in a hundred is an outlier, in nats, ``[...]``.

        A normal distribution of a small deviation gives one outcome far from its mean less than the memory can ever gain
        at all others. So a hundredth of the probability is that of a Cauchy distribution around the same mean, of scale 1
        spread: an outcome as predicted costs 0.01 nats more, and none costs much more than ten.
        """
        nll, _, error = self._standardized_nll(params, outcome)
        outlier = math.log(_OUTLIERS / math.pi) - error.square().log1p()
        return self._sum(-torch.logaddexp(math.log1p(-_OUTLIERS) - nll, outlier)) + self.standardizer.log_scale()

    def _standardized_nll(self, params: Tensor, outcome: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the negative log-likelihood of each standardised component, its standard deviation, and its error."""
        mean, std = self._split(params)
        error = self._standardize(params, outcome) - mean
        z = error / std
        return torch.addcmul(std.log() + 0.5 * math.log(2 * math.pi), z, z, value=0.5), std, error

    def _sum(self, components: Tensor) -> Tensor:
        return components.sum(-1) if self.size > 1 else components.squeeze(-1)

    def uncertainty(self, params: Tensor) -> Tensor:
        _, std = self._split(params)
        return (std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    @property
    def has_constant_uncertainty(self) -> bool:
        return not self.learned_variance

    def reported_uncertainty(self, params: Tensor) -> Tensor:
        return self.uncertainty(params) + self.standardizer.log_scale()

    def std(self, params: Tensor) -> Tensor | None:
        return (self._split(params)[1] * self.standardizer.scale).squeeze(-1) if self.size == 1 else None

    def interval(self, params: Tensor, level: float) -> tuple[Tensor, Tensor]:
        mean, std = self._split(params)
        half = NormalDist().inv_cdf(0.5 + level / 2) * std
        return self._in_own_unit(mean - half), self._in_own_unit(mean + half)

    def sample(self, params: Tensor) -> Tensor:
        mean, std = self._split(params)
        return self._in_own_unit(torch.normal(mean, std))

    def _mean(self, params: Tensor) -> Tensor:
        return params[..., : self.size]
