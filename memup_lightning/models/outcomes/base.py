"""Base class of distributions of outcomes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.specs import FieldSpec

_AT_ONCE = 1 << 24  # numbers: 64 MB


class Outcome(nn.Module, ABC):
    """Family of distributions over the outcome of a step.

    Shapes: ``params [..., num_parameters]``, outcome ``[..., *shape]`` where ``shape`` is the outcome field's.

    Attributes:
        num_parameters: numbers that a network must put out for one outcome.
        num_classes: classes of the outcome; 0 for numbers.
        score_names: keys of :meth:`scores`; evaluation logs the mean of each over the evaluated steps.
        uncertainty_unit: of :meth:`uncertainty`.
    """

    num_parameters: int
    num_classes: int = 0
    uncertainty_unit: str = "nats"
    score_names: tuple[str, ...] = ("accuracy", "nll")

    @abstractmethod
    def nll(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the negative log-likelihood of the outcome in its own unit, in nats, ``[...]``."""

    def loss(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the training loss, ``[...]``; by default the negative log-likelihood."""
        return self.nll(params, outcome)

    def memory_loss(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return the training loss of the memory, on steps of different certainty, ``[...]``; by default :meth:`loss`."""
        return self.loss(params, outcome)

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

    def probabilities(self, params: Tensor) -> Tensor | None:
        """Return the probability of each class, ``[..., num_classes]``; None for numbers."""
        return None

    def interval(self, params: Tensor, level: float) -> tuple[Tensor, Tensor] | None:
        """Return the bounds of the central interval of each number, in its own unit, ``[..., *shape]`` each; None for
        classes.

        Args:
            params: ``[..., num_parameters]``.
            level: probability that the outcome lies within, between 0 and 1.
        """
        return None

    @property
    def rows_at_once(self) -> int:
        """Rows that are predicted at once where no gradient is needed: of many classes, few."""
        return max(1, _AT_ONCE // max(self.num_parameters, self.num_classes))

    @property
    def has_constant_uncertainty(self) -> bool:
        """Whether :meth:`uncertainty` is the same for all parameters, so that nothing can be selected by it."""
        return False

    @abstractmethod
    def predict(self, params: Tensor) -> Tensor:
        """Return the predicted outcome, ``[..., *shape]``."""

    def sample(self, params: Tensor) -> Tensor:
        """Draw an outcome, ``[..., *shape]``.

        Raises:
            MemUPError: a distribution of numbers that does not draw.
        """
        probabilities = self.probabilities(params)
        if probabilities is None:
            raise MemUPError(f"{type(self).__name__} draws no outcomes; take the predicted ones, act(..., greedy=True)")
        drawn: Tensor = torch.multinomial(probabilities.flatten(0, -2), 1).view(params.shape[:-1])
        return drawn

    @abstractmethod
    def correct(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return 1.0 where the prediction is right, else 0.0, ``[...]``."""

    def residual(self, params: Tensor, outcome: Tensor) -> Tensor:
        """Return what is left to explain of each outcome, ``[...]``: the negative log-likelihood in nats of classes, the
        squared error of numbers."""
        return self.nll(params, outcome)

    @abstractmethod
    def own_uncertainty(self, outcome: Tensor) -> float:
        """Return the uncertainty of outcomes ``[N, *shape]`` by themselves, in the unit of :meth:`residual`: the entropy of
        classes, the variance of numbers."""

    def scores(self, params: Tensor, outcome: Tensor) -> dict[str, Tensor]:
        """Return the scores of predictions, each of :attr:`score_names` ``[...]``."""
        return {"accuracy": self.correct(params, outcome), "nll": self.nll(params, outcome)}

    def too_small_to_tell(self, lowest: Tensor, highest: Tensor) -> str | None:
        """Say why outcomes of this range cannot be distinguished; None where they can, as classes always.

        Args:
            lowest, highest: of the evaluated outcomes, each component, ``[*shape]``.
        """
        return None


def describe(field: FieldSpec) -> str:
    """Describe an outcome field in an error message."""
    if field.type == "token":
        return f"one of {counted(field.classes, 'class')}"
    return f"a {field.type} of shape {list(field.shape)}" if field.shape else "a number"
