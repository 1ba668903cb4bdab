"""Distribution over many classes, of which the rare ones cost little."""

from __future__ import annotations

from torch import Tensor, nn

from memup_lightning.models.outcomes.categorical import CategoricalOutcome
from memup_lightning.specs import FieldSpec


class AdaptiveCategoricalOutcome(CategoricalOutcome):
    """Categorical distribution over thousands of classes by adaptive softmax, torch's own (Grave et al., "Efficient softmax
    approximation for GPUs", ICML 2017).

    The classes of the lowest numbers, which should be the most common ones, have a weight for each feature. The others are
    in two groups with fewer features each, and a group is computed only where the outcome is in it. The predictors with and
    without memory put out features and share these weights.

    Args:
        field: the outcome field; the model fills it in.
        tolerance: not used; classes are right or wrong.
        features: numbers that a predictor puts out for an outcome.
        shares: of the classes, in order: the common ones, and the first of the two groups of rare ones.

    Raises:
        MemUPError: the outcome is a number.
    """

    def __init__(
        self, field: FieldSpec, tolerance: float = 0.0, features: int = 64, shares: tuple[float, float] = (0.05, 0.2)
    ) -> None:
        super().__init__(field, tolerance)
        self.num_parameters = features
        common = max(1, int(shares[0] * field.classes))
        cutoffs = [common, max(common + 1, int(sum(shares) * field.classes))]
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(features, field.classes, cutoffs, div_value=2.0)

    def nll(self, params: Tensor, outcome: Tensor) -> Tensor:
        rows = params.flatten(0, -2)
        if not len(rows):
            return rows.sum(-1).view(outcome.shape)
        log_p: Tensor = self.softmax(rows, outcome.long().clamp(min=0).flatten()).output
        return -log_p.view(outcome.shape)

    def uncertainty(self, params: Tensor) -> Tensor:
        # The chain rule of entropy: of class or group, and within each group.
        rows = params.flatten(0, -2)
        head = self.softmax.head(rows).log_softmax(-1)
        entropy = _entropy(head)
        for number, group in enumerate(self.softmax.tail):
            entropy = entropy + head[:, self.softmax.shortlist_size + number].exp() * _entropy(
                group(rows).log_softmax(-1)
            )
        return entropy.view(params.shape[:-1])

    def probabilities(self, params: Tensor) -> Tensor:
        log_p: Tensor = self.softmax.log_prob(params.flatten(0, -2))
        return log_p.exp().view(*params.shape[:-1], self.num_classes)

    def predict(self, params: Tensor) -> Tensor:
        number: Tensor = self.softmax.predict(params.flatten(0, -2))
        return number.view(params.shape[:-1])


def _entropy(log_p: Tensor) -> Tensor:
    return -(log_p.exp() * log_p).sum(-1)
