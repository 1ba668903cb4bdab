"""Metrics of a run as its report has them."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Any

from pytorch_lightning import Trainer
from torch.utils._pytree import tree_map

_DIVERGENCE_FACTOR = 1e3  # times the best error of a run, past which it counts as diverged
_TOLERANCE = "within the tolerance"
_SMALL, _HUGE = 1e6, 1e20  # an error up to the first never counts, one past the second always


def last_metrics(trainer: Trainer) -> dict[str, float | None]:
    """Return the last value of every logged metric, None where it is not finite, without those of the progress bar
    alone."""
    logged = {**trainer.logged_metrics, **trainer.callback_metrics}
    shown = set(trainer.progress_bar_metrics) - set(trainer.logged_metrics)
    values = {name: float(x) for name, x in sorted(logged.items()) if name not in shown}
    metrics: dict[str, float | None] = finite_tree(values)
    return metrics


def accuracy_name(metrics: Container[str]) -> str:
    """Return what ``val/accuracy`` is called where people read it: of numbers it is the share within the tolerance."""
    return _TOLERANCE if "val/mse" in metrics else "accuracy"


def printed_names(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics of ``validate`` or ``test`` by the names that people read: the accuracy of numbers is the share within
    the tolerance."""
    keys = {name: name.partition("/")[2] for name in metrics}
    shares = ("accuracy", "local_accuracy") if "mse" in keys.values() else ()
    return {f"{name} ({_TOLERANCE})" if keys[name] in shares else name: x for name, x in metrics.items()}


def finite_tree(value: Any) -> Any:
    """Replace numbers that are not finite by None, which JSON has, in lists, tuples and dicts."""
    return tree_map(lambda x: None if isinstance(x, float) and not math.isfinite(x) else x, value)


def divergence(history: list[dict[str, float]]) -> str | None:
    """Say which error of the last evaluation left all bounds; None where none did.

    Args:
        history: as of :class:`RunReport`.
    """
    for name in ("val/mse", "val/nll"):
        values = [row.get(name, math.inf) for row in history]  # left out where it was not finite
        if any(name in row for row in history) and not values[-1] <= min(
            max(_DIVERGENCE_FACTOR * abs(min(values)), _SMALL), _HUGE
        ):
            return f"{name} is {values[-1]:.3g} at the end, {min(values):.3g} at best"
    return None
