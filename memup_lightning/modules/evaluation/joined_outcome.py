"""Metrics of each column of an outcome that joins several columns of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memup_lightning.modules.evaluation.metrics import (
    MAX_RANKED_CLASSES,
    RANKINGS,
    BaseAveragePrecision,
    BaseRate,
    Mean,
    class_metrics,
    ranking_counts,
)
from memup_lightning.specs import AND

_TINY = 1e-12  # probability


class JoinedColumn(NamedTuple):
    """One of the columns that an outcome joins.

    Attributes:
        values: what it may be.
        value: number of its value in each class of the outcome.
    """

    values: tuple[str, ...]
    value: tuple[int, ...]

    def metrics(self, prefixes: Sequence[str]) -> dict[str, Any]:
        """Make the metrics of the column, by name: those of predictions, for each prefix, and those of its base rate."""
        size = len(self.values)
        made: dict[str, Any] = {"base_rate": BaseRate(size)}
        if size <= MAX_RANKED_CLASSES:
            made["base_average_precision"] = BaseAveragePrecision(size)
        for prefix in prefixes:
            made |= {prefix + name: x for name, x in (class_metrics(size) | {"accuracy": Mean()}).items()}
        return made

    def describe(self, metrics: nn.ModuleDict, place: str, outcome: Tensor) -> None:
        """Add the outcomes of some steps, ``[rows]``, to the metrics of the base rate."""
        own = torch.tensor(self.value, device=outcome.device)[outcome[outcome >= 0]]
        for name in ("base_rate", "base_average_precision"):
            if place + name in metrics:
                _metric(metrics, place + name).update(own)

    def score(self, metrics: nn.ModuleDict, place: str, probabilities: Tensor, outcome: Tensor) -> None:
        """Add predictions of some steps.

        Args:
            metrics: all of them.
            place: beginning of their names.
            probabilities: of the classes, ``[rows, classes]``.
            outcome: the classes, ``[rows]``; -1: one that the training data do not hold.
        """
        known, value = outcome >= 0, torch.tensor(self.value, device=outcome.device)
        probabilities, outcome = probabilities[known], outcome[known]
        p = probabilities.new_zeros(len(probabilities), len(self.values)).index_add_(1, value, probabilities)
        own, predicted = value[outcome], p.argmax(1)
        _metric(metrics, place + "accuracy").update((predicted == own).float())
        _metric(metrics, place + "balanced_accuracy").update(predicted, own)
        if place + "auroc" in metrics:
            counts = ranking_counts(p.clamp(min=_TINY).log(), own)
            for name in RANKINGS:
                _metric(metrics, place + name).update(counts)


def joined_columns(names: Sequence[str]) -> dict[str, JoinedColumn]:
    """Return the columns by their names, with ``_`` for a dot, which no metric's name may have; empty where the classes are
    no combinations of columns.

    Args:
        names: of the classes, such as ``fault=true & leak=none``.
    """
    rows = [dict(part.split("=", 1) for part in name.split(AND) if "=" in part) for name in names]
    if not rows or len(rows[0]) < 2 or any(row.keys() != rows[0].keys() for row in rows):
        return {}
    if any(
        AND.join(f"{key}={value}" for key, value in row.items()) != name for row, name in zip(rows, names, strict=True)
    ):
        return {}
    columns = {}
    for key in rows[0]:
        values = tuple(dict.fromkeys(row[key] for row in rows))
        columns[key.replace(".", "_")] = JoinedColumn(values, tuple(values.index(row[key]) for row in rows))
    return columns


def _metric(metrics: nn.ModuleDict, name: str) -> Any:
    return metrics[name]
