"""Metrics of classes and numbers agree with torchmetrics' and numpy's, in pieces and over ranks alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassAveragePrecision

from memup_lightning.modules import MemUP
from memup_lightning.modules.evaluation.metrics import (
    AUROC,
    MAX_RANKED_CLASSES,
    AveragePrecision,
    BalancedAccuracy,
    BaseAveragePrecision,
    BaseRate,
    MeanError,
    class_metrics,
    ranking_counts,
)
from memup_lightning.specs import FieldSpec, TaskSpec


def predictions(rows: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    outcome = torch.cat([torch.arange(classes), torch.randint(classes, (rows - classes,))])
    logits = 2 * torch.randn(rows, classes) + 2 * torch.nn.functional.one_hot(outcome, classes)
    return logits, outcome


def update(metric: Any, logits: Tensor, outcome: Tensor) -> None:
    if isinstance(metric, AUROC | AveragePrecision):
        metric.update(ranking_counts(logits, outcome))
    else:
        metric.update(logits.argmax(-1), outcome)


PAIRS: list[tuple[Callable[[int], Any], Callable[[int], Any]]] = [
    (BalancedAccuracy, lambda classes: MulticlassAccuracy(classes, average="macro")),
    (AUROC, lambda classes: MulticlassAUROC(classes, average="macro")),
]


@pytest.mark.parametrize(("ours", "exact"), PAIRS)
@pytest.mark.parametrize("classes", [2, 5])
def test_the_metrics_of_classes_are_those_of_torchmetrics(
    ours: Callable[[int], Any], exact: Callable[[int], Any], classes: int
) -> None:
    logits, outcome = predictions(500, classes)
    mine, theirs = ours(classes), exact(classes)
    for part in range(0, 500, 100):  # in pieces
        update(mine, logits[part : part + 100], outcome[part : part + 100])
    theirs.update(logits.softmax(-1), outcome)
    assert float(mine.compute()) == pytest.approx(float(theirs.compute()), abs=0.01)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_average_precision_is_the_mean_of_all_classes_but_the_most_frequent(classes: int) -> None:
    logits, outcome = predictions(500, classes)
    mine, theirs = AveragePrecision(classes), MulticlassAveragePrecision(classes, average="none")
    update(mine, logits, outcome)
    theirs.update(logits.softmax(-1), outcome)
    rarer = torch.arange(classes) != torch.bincount(outcome).argmax()
    assert float(mine.compute()) == pytest.approx(float(theirs.compute()[rarer].mean()), abs=0.01)


def test_an_order_by_chance_has_the_base_average_precision() -> None:
    torch.manual_seed(0)
    outcome = torch.multinomial(torch.tensor([0.1, 0.2, 0.7]), 100_000, replacement=True)
    precision, base = AveragePrecision(3), BaseAveragePrecision(3)
    update(precision, torch.randn(100_000, 3), outcome)
    base.update(outcome)
    assert float(base.compute()) == pytest.approx(0.15, abs=0.01)
    assert float(precision.compute()) == pytest.approx(float(base.compute()), abs=0.01)
    alone = BaseAveragePrecision(3)
    alone.update(torch.tensor([2, 2]))
    assert float(alone.compute()) == 1


def test_a_class_of_one_step_in_three_thousand_is_ranked_right() -> None:
    torch.manual_seed(0)
    outcome = (torch.arange(30_000) % 3000 == 0).long()
    rare = torch.randn(30_000) - 8 + 4 * outcome  # every probability is far below a hundredth
    logits = torch.stack([torch.zeros(30_000), rare], dim=1)
    precision, area = AveragePrecision(2), AUROC(2)
    exact = MulticlassAveragePrecision(2, average="none"), MulticlassAUROC(2, average="macro")
    for metric in (precision, area):
        update(metric, logits, outcome)
    for theirs in exact:
        theirs.update(logits.softmax(-1), outcome)
    assert float(precision.compute()) == pytest.approx(float(exact[0].compute()[1]), abs=0.02)
    assert float(area.compute()) == pytest.approx(float(exact[1].compute()), abs=0.01)
    assert 0.1 < float(precision.compute()) < 0.9


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1, 3), max_size=20))
def test_metrics_of_few_steps_are_shares(outcomes: list[int]) -> None:
    """Classes that do not occur, a single class, a missing class (-1), no step at all."""
    outcome = torch.tensor(outcomes, dtype=torch.int64)
    logits = torch.randn(len(outcomes), 4) * 30
    for metric in class_metrics(4).values():
        update(metric, logits, outcome)
        if (outcome >= 0).any():
            assert 0 <= float(metric.compute()) <= 1


def test_the_base_rate_is_the_share_of_the_most_frequent_class() -> None:
    metric = BaseRate(3)
    metric.update(torch.tensor([0, 2, 2]))
    metric.update(torch.tensor([2]))
    metric.update_nothing()
    assert float(metric.compute()) == 0.75


@pytest.mark.parametrize("shape", [(), (3,)])
def test_the_error_of_the_mean_is_the_variance_also_of_large_values(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    outcome = 1000 + torch.randn(300, *shape)
    metric = MeanError(max(1, sum(shape)))
    for part in outcome.split(70):
        metric.update(part)
    metric.update_nothing()
    assert float(metric.compute()) == pytest.approx(float(outcome.var(0, correction=0).mean()), rel=1e-3)


def test_the_moments_of_two_ranks_are_merged() -> None:
    outcome = torch.randn(10) * 3 + 7
    parts = [MeanError(1), MeanError(1)]
    parts[0].update(outcome[:3])
    parts[1].update(outcome[3:])
    whole = MeanError(1)
    whole.moments = whole._reductions["moments"](torch.stack([part.moments for part in parts]))
    whole._update_count = 1
    assert float(whole.compute()) == pytest.approx(float(outcome.var(correction=0)), rel=1e-4)


@pytest.mark.parametrize("classes", [3, MAX_RANKED_CLASSES + 1])
def test_every_metric_of_classes_has_its_value_without_memory(classes: int) -> None:
    fields = {"x": FieldSpec()}
    task = TaskSpec(
        fields, inputs={"x": 0}, context=("x",), outcome=FieldSpec(dtype="int64", type="token", classes=classes)
    )
    metrics = MemUP(task).metrics
    assert "base_rate" in metrics
    assert ("auroc" in metrics) == (classes <= MAX_RANKED_CLASSES)
    assert ("base_average_precision" in metrics) == (classes <= MAX_RANKED_CLASSES)
    ours = [name for name in metrics if name != "memory_gain" and not name.startswith(("base_", "local_"))]
    assert {"accuracy", "balanced_accuracy", "nll"} <= set(ours)
    assert all(f"local_{name}" in metrics for name in ours)
