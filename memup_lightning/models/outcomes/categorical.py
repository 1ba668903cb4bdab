"""Distribution over classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.outcomes.base import Outcome, describe
from memup_lightning.specs import FieldSpec


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
                f"CategoricalOutcome needs class numbers, but this task's outcome is {describe(field)}; "
                "use GaussianOutcome or QuantileOutcome"
            )
        if field.shape:
            raise MemUPError(
                f"CategoricalOutcome predicts one class a step, but the outcome has shape {list(field.shape)}"
            )
        self.num_parameters = self.num_classes = field.classes

    def nll(self, params: Tensor, outcome: Tensor) -> Tensor:
        flat = F.cross_entropy(params.flatten(0, -2), outcome.long().clamp(min=0).flatten(), reduction="none")
        return flat.view(outcome.shape)

    def uncertainty(self, params: Tensor) -> Tensor:
        log_p = params.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def own_uncertainty(self, outcome: Tensor) -> float:
        share = outcome.unique(return_counts=True)[1].cpu().double() / len(outcome)
        return float(torch.special.entr(share).sum())

    def probabilities(self, params: Tensor) -> Tensor:
        return params.softmax(-1)

    def predict(self, params: Tensor) -> Tensor:
        return params.argmax(-1)

    def correct(self, params: Tensor, outcome: Tensor) -> Tensor:
        return (self.predict(params) == outcome).float()
