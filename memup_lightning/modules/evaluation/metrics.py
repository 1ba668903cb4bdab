"""Metrics of predicted classes and numbers whose memory does not grow with the number of evaluated steps.

torchmetrics has most of them. Its binned curves cost thresholds x rows x classes at every update, need thresholds that
are placed by hand where a class is rare, and count a class that does not occur as an area of 0; here an update is one
histogram on the scale of log-odds, and classes that do not occur are left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric

MAX_RANKED_CLASSES = 32
"""Classes up to which the metrics of rankings are computed; each class costs a histogram."""
_BINS, _MAX_LOG_ODDS = 512, 16.0


class _ClassCounts(Metric):
    """Base class of metrics of class probabilities.

    Args:
        num_classes: number of classes.
    """

    full_state_update = False
    higher_is_better = True
    counts: Tensor

    def __init__(self, num_classes: int, *shape: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("counts", torch.zeros(*shape, num_classes, dtype=torch.int64), dist_reduce_fx="sum")


class BalancedAccuracy(_ClassCounts):
    """Mean over the classes that occur of the share of their steps that is predicted right."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, 2)

    def update(self, predicted: Tensor, outcome: Tensor) -> None:
        """Add some steps, ``[rows]`` each."""
        right = predicted == outcome
        self.counts += torch.stack([_count(outcome, self.num_classes), _count(outcome[right], self.num_classes)])

    def update_nothing(self) -> None:
        """Take part in a reduction over ranks without any step."""
        self.update(self.counts.new_zeros(0), self.counts.new_zeros(0))

    def compute(self) -> Tensor:
        steps, right = self.counts
        shares: Tensor = right / steps
        return shares[steps > 0].mean()


class BaseRate(_ClassCounts):
    """Share of the most frequent class: the accuracy of always predicting it."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)

    def update(self, outcome: Tensor) -> None:
        self.counts += _count(outcome, self.num_classes)

    def update_nothing(self) -> None:
        self.update(self.counts.new_zeros(0))

    def compute(self) -> Tensor:
        return self.counts.max() / self.counts.sum()


class BaseAveragePrecision(BaseRate):
    """Average precision of an order by chance: the share of a class, the mean of those that :class:`AveragePrecision`
    takes; 1 where there is a single one."""

    def compute(self) -> Tensor:
        if (others := int((self.counts > 0).sum()) - 1) < 1:
            return torch.tensor(1.0)
        return (1 - super().compute()) / others


class _Ranking(_ClassCounts):
    """Base class of metrics of how well a class's probability ranks its steps before those of all other classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, 2, _BINS)

    def update(self, counts: Tensor) -> None:
        """Add some steps, by their :func:`ranking_counts`."""
        self.counts += counts

    def update_nothing(self) -> None:
        self.update(torch.zeros_like(self.counts))

    def _by_falling_score(self) -> tuple[Tensor, Tensor]:
        """Return the steps of other classes and of the class itself in each bin, ``[classes, bins]``, the highest score
        first, of the classes that occur and are not alone."""
        others, own = self.counts.cpu().double().flip(1).movedim(-1, 1)  # CUDA has no deterministic cumulative sum
        there = (own.sum(1) > 0) & (others.sum(1) > 0)
        return others[there], own[there]


class AUROC(_Ranking):
    """Area under the receiver operating characteristic, the mean of all classes; 0.5 where there is a single one."""

    def compute(self) -> Tensor:
        others, own = self._by_falling_score()
        if not len(own):
            return torch.tensor(0.5)
        before = own.cumsum(1) - own / 2  # steps of one bin are ties
        return ((others * before).sum(1) / others.sum(1) / own.sum(1)).mean().float()


class AveragePrecision(_Ranking):
    """Average precision, the mean of all classes but the most frequent: of two classes, that of the rarer one. 1 where
    there is a single one; see :class:`BaseAveragePrecision` for its value by chance."""

    def compute(self) -> Tensor:
        others, own = self._by_falling_score()
        if len(own) < 2:
            return torch.tensor(1.0)
        precision = own.cumsum(1) / (own + others).cumsum(1).clamp(min=1)
        steps = own.sum(1)
        rarer = torch.arange(len(own)) != steps.argmax()
        return ((own * precision).sum(1) / steps)[rarer].mean().float()


class Mean(MeanMetric):
    """Weighted mean of numbers."""

    def update_nothing(self) -> None:
        """Take part in a reduction over ranks without any step."""
        self.update(0.0, 0.0)


class MeanError(Metric):
    """Squared error of predicting the mean of all evaluated outcomes: their variance, the mean of all components.

    Args:
        size: components of an outcome.
    """

    full_state_update = False
    higher_is_better = False
    moments: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        # Count, mean, squared deviations: sums of squares would cancel where values are large and differ by little.
        self.add_state("moments", torch.zeros(3, size), dist_reduce_fx=_merge_moments)

    def update(self, outcome: Tensor) -> None:
        """Add the outcomes of some steps, ``[rows, ...]``."""
        rows = outcome.reshape(-1, self.size).float()
        if len(rows):
            mean = rows.mean(0)
            new = torch.stack([torch.full_like(mean, len(rows)), mean, (rows - mean).square().sum(0)])
            self.moments = _merge_moments(torch.stack([self.moments, new]))

    def update_nothing(self) -> None:
        """Take part in a reduction over ranks without any step."""
        self.update(self.moments.new_zeros(0, self.size))

    def compute(self) -> Tensor:
        count, _, squares = self.moments
        variance: Tensor = squares / count
        return variance.mean()


RANKINGS = {"average_precision": AveragePrecision, "auroc": AUROC}
"""Metrics of rankings, by name."""


def ranking_counts(logits: Tensor, outcome: Tensor) -> Tensor:
    """Count the steps of each class and of all others in each bin of its log-odds, once for all metrics of rankings.

    Args:
        logits: ``[rows, classes]``.
        outcome: ``[rows]``.

    Returns:
        ``[2, bins, classes]``.
    """
    classes = logits.shape[-1]
    log_p = logits.float().log_softmax(-1)
    log_odds = log_p - torch.log1p(-log_p.exp().clamp(max=1 - 1e-7))
    place = ((log_odds / _MAX_LOG_ODDS + 1) * (_BINS / 2)).long().clamp(0, _BINS - 1)
    own = torch.arange(classes, device=outcome.device)
    index = ((outcome[:, None] == own).long() * _BINS + place) * classes + own
    return _count(index.flatten(), 2 * _BINS * classes).view(2, _BINS, classes)


def class_metrics(num_classes: int) -> dict[str, Any]:
    """Make the metrics of class probabilities, by name; those of rankings up to :data:`MAX_RANKED_CLASSES` classes.
    None for an outcome without classes."""
    if not num_classes:
        return {}
    metrics: dict[str, Any] = {"balanced_accuracy": BalancedAccuracy(num_classes)}
    if num_classes <= MAX_RANKED_CLASSES:
        metrics |= {name: ranking(num_classes) for name, ranking in RANKINGS.items()}
    return metrics


def _count(numbers: Tensor, length: int) -> Tensor:
    """Count how often each number below ``length`` occurs; others, such as a missing class of -1, are ignored."""
    return torch.bincount(numbers[(numbers >= 0) & (numbers < length)], minlength=length)


def _merge_moments(parts: Tensor) -> Tensor:
    """Merge counts, means and sums of squared deviations, ``[parts, 3, size]`` (Chan, Golub & LeVeque, 1979)."""
    count, mean, squares = parts.unbind(1)
    total = count.sum(0)
    overall = (count * mean).sum(0) / total.clamp(min=1)
    return torch.stack([total, overall, (squares + count * (mean - overall).square()).sum(0)])
