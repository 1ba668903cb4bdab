"""Distributions of outcomes: loss, likelihood, uncertainty, prediction and scores.

Each computes, from the parameters that a network puts out, a loss, a log-likelihood (so the gain of a memory has the
unit bits), an uncertainty that needs no outcome, and a prediction.

Networks put out the parameters of the standardised outcome: see :class:`ContinuousOutcome`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.scaling import Standardizer
from memup_lightning.specs import FieldSpec


class Outcome(nn.Module, ABC):
    """Family of distributions over the outcome of a step.

    Shapes: ``params [..., num_parameters]``, outcome ``[..., *shape]`` where ``shape`` is the outcome field's.

    Attributes:
        num_parameters: numbers that a network must put out for one outcome.
        score_names: keys of :meth:`scores`; evaluation logs the mean of each over the evaluated steps.
    """

    num_parameters: int
    score_names: tuple[str, ...] = ("accuracy", "nll")

    @abstractmethod
    def nll(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the negative log-likelihood of the outcome in its own unit, in nats, ``[...]``."""

    def loss(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the training loss, ``[...]``; by default the negative log-likelihood."""
        return self.nll(params, outcome)

    @abstractmethod
    def uncertainty(self, params: Tensor) -> Tensor:
        """Return the uncertainty by which targets are selected, ``[...]``: entropy in nats, or spread; that of the
        standardised outcome, so the selection does not depend on the outcome's unit."""

    def reported_uncertainty(self, params: Tensor) -> Tensor:
        """Return the uncertainty of the outcome in its own unit, ``[...]``."""
        return self.uncertainty(params)

    def std(self, params: Tensor) -> Tensor | None:
        """Return the standard deviation of the distribution of one number, ``[...]``; None for classes and vectors."""
        return None

    @abstractmethod
    def predict(self, params: Tensor) -> Tensor:
        """Return the predicted outcome, ``[..., *shape]``."""

    @abstractmethod
    def correct(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return 1.0 where the prediction is right, else 0.0, ``[...]``."""

    def scores(self, params: Tensor, outcome: Tensor) -> dict[str, Tensor]:
        """Return the scores of predictions, each of :attr:`score_names` ``[...]``."""
        return {"accuracy": self.correct(params, outcome), "nll": self.nll(params, outcome)}

    def too_small_to_tell(self, lowest: Tensor, highest: Tensor) -> str | None:
        """Say why outcomes of this range cannot be distinguished; None where they can, as classes always.

        Args:
            lowest, highest: of the evaluated outcomes, each component, ``[*shape]``.
        """
        return None


class CategoricalOutcome(Outcome):
    """Categorical distribution over classes; cross-entropy, entropy, most probable class.

    Args:
        field: the outcome field; the model fills it in.
        tolerance: not used; classes are right or wrong.

    Raises:
        MemUPError: the outcome is a number.
    """

    def __init__(self, field: FieldSpec, tolerance: float = 0.0) -> None:
        super().__init__()
        if field.type != "token":
            raise MemUPError(
                f"CategoricalOutcome needs class numbers, but this task's outcome is {_describe(field)}; "
                "use GaussianOutcome or QuantileOutcome"
            )
        if field.shape:
            raise MemUPError(
                f"CategoricalOutcome predicts one class a step, but the outcome has shape {list(field.shape)}"
            )
        self.num_parameters = field.classes

    def nll(self, params: Tensor, outcome: Tensor) -> Tensor:
        flat = F.cross_entropy(params.flatten(0, -2), outcome.long().clamp(min=0).flatten(), reduction="none")
        return flat.view(outcome.shape)

    def uncertainty(self, params: Tensor) -> Tensor:
        log_p = params.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def predict(self, params: Tensor) -> Tensor:
        return params.argmax(-1)

    def correct(self, params: Tensor, outcome: Tensor) -> Tensor:
        return (self.predict(params) == outcome).float()


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
        self.standardizer = Standardizer(self.size)

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
        return self.standardizer.inverse(self._mean(params)).reshape(*params.shape[:-1], *self.shape)

    def correct(self, params: Tensor, outcome: Tensor) -> Tensor:
        return (self._errors(params, outcome).abs().amax(-1) <= self.tolerance).float()

    def too_small_to_tell(self, lowest: Tensor, highest: Tensor) -> str | None:
        width = float(((highest - lowest).flatten().abs() / self.standardizer.scale).max())
        if width == 0:
            return "all evaluated outcomes are alike, so accuracy means nothing; evaluate steps whose outcomes differ"
        if width > 2 * self.tolerance:
            return None
        return (
            f"the evaluated outcomes differ by {width:.2g} spreads of all outcomes at most: with "
            f"tolerance={self.tolerance:g} one constant is right for all, so the accuracy means nothing; lower tolerance, "
            "or evaluate steps whose outcomes differ"
        )

    def scores(self, params: Tensor, outcome: Tensor) -> dict[str, Tensor]:
        errors = self._errors(params, outcome) * self.standardizer.scale
        return super().scores(params, outcome) | {"mse": errors.square().mean(-1)}


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
        self, field: FieldSpec, tolerance: float = 0.1, learned_variance: bool = True, min_std: float = 0.03
    ) -> None:
        super().__init__(field, tolerance)
        if field.type != "vector":
            raise MemUPError(
                f"GaussianOutcome needs a number, but this task's outcome is {_describe(field)}; use CategoricalOutcome"
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
        """Return the negative log-likelihood of the standardised outcome, weighted by the variance, ``[...]``.

        The gradient of the plain likelihood grows with 1/variance: steps that are certain already would outweigh the few
        that the memory must explain. The weight is a constant for the gradient (beta-NLL with beta = 1, Seitzer et al.,
        "On the pitfalls of heteroscedastic uncertainty estimation", ICLR 2022).
        """
        nll, std = self._standardized_nll(params, outcome)
        return self._sum(nll * std.detach().square())

    def nll(self, params: Tensor, outcome: Tensor) -> Tensor:
        return self._sum(self._standardized_nll(params, outcome)[0]) + self.standardizer.log_scale()

    def _standardized_nll(self, params: Tensor, outcome: Tensor) -> tuple[Tensor, Tensor]:
        """Return the negative log-likelihood of each standardised component, and its standard deviation."""
        mean, std = self._split(params)
        error = (self._standardize(params, outcome) - mean) / std
        return torch.addcmul(std.log() + 0.5 * math.log(2 * math.pi), error, error, value=0.5), std

    def _sum(self, components: Tensor) -> Tensor:
        return components.sum(-1) if self.size > 1 else components.squeeze(-1)

    def uncertainty(self, params: Tensor) -> Tensor:
        _, std = self._split(params)
        return (std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def reported_uncertainty(self, params: Tensor) -> Tensor:
        return self.uncertainty(params) + self.standardizer.log_scale()

    def std(self, params: Tensor) -> Tensor | None:
        return (self._split(params)[1] * self.standardizer.scale).squeeze(-1) if self.size == 1 else None

    def _mean(self, params: Tensor) -> Tensor:
        return params[..., : self.size]


class QuantileOutcome(ContinuousOutcome):
    """Distribution of a number by its quantiles, of any shape, with several modes too (Dabney et al., AAAI 2018).

    Trained with the quantile Huber loss (their equation 10). The likelihood is that of the piecewise linear
    distribution function through the quantiles, with exponential tails.

    Args:
        field: the outcome field; the model fills it in.
        tolerance: a prediction counts as right within this distance, in spreads; the task fills it in.
        num_quantiles: N; the quantiles are at (i + 1/2) / N.
        kappa: threshold between the squared and the linear part of the loss, in spreads of the outcome.
        min_width: smallest distance between neighbouring quantiles that the likelihood distinguishes, in spreads.

    Raises:
        MemUPError: the outcome is a class number or has several components; fewer than 2 quantiles.
    """

    taus: Tensor

    def __init__(
        self,
        field: FieldSpec,
        tolerance: float = 0.1,
        num_quantiles: int = 16,
        kappa: float = 0.03,
        min_width: float = 0.1,
    ) -> None:
        super().__init__(field, tolerance)
        if field.type != "vector" or math.prod(field.shape) != 1:
            raise MemUPError(
                f"QuantileOutcome needs one number a step, but this task's outcome is {_describe(field)}; "
                "use CategoricalOutcome for classes, GaussianOutcome for vectors"
            )
        if num_quantiles < 2 or not kappa > 0 or not min_width > 0:
            raise MemUPError(
                f"num_quantiles={num_quantiles}, kappa={kappa}, min_width={min_width}: "
                "at least 2 quantiles; kappa and min_width above 0"
            )
        self.kappa = kappa
        self.min_width = min_width
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
        width = (q[..., 1:] - q[..., :-1]).clamp(min=self.min_width)
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

    def _mean(self, params: Tensor) -> Tensor:
        return params.mean(-1, keepdim=True)


def _describe(field: FieldSpec) -> str:
    if field.type == "token":
        return f"one of {field.classes} classes"
    return f"a {field.type} of shape {list(field.shape)}" if field.shape else "a number"
