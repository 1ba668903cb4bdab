"""Measurement of a split by what the last validation logged: of episodes too long to be played again, and rare outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring import measured_steps
from memup_lightning.callbacks.verdict.measuring.measurements import Evaluated
from memup_lightning.callbacks.verdict.measuring.split_measurement import CurvePoint, SplitMeasurement
from memup_lightning.modules.evaluation.estimate import Estimate
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT
from memup_lightning.protocols import EpisodeSplit

TINY = 1e-30
"""Least square: those of small outcomes are small."""


def evaluated(metrics: Mapping[str, float]) -> Evaluated:
    """Return what the last validation logged of all steps that it evaluated."""
    validation = _validation(metrics)
    return Evaluated(
        rare=1 - metrics["val/base_rate"] if "val/base_rate" in metrics else None,
        average_precision=_both(metrics, "val/average_precision", "val/local_average_precision"),
        uncertain=None if validation is None else validation.uncertain,
        nll=_both(metrics, "val/nll", "val/local_nll"),
    )


def _both(metrics: Mapping[str, float], name: str, local: str) -> tuple[float, float] | None:
    return (metrics[name], metrics[local]) if {name, local} <= metrics.keys() else None


def measured_or_logged(
    measured: SplitMeasurement | None, split: EpisodeSplit, metrics: Mapping[str, float]
) -> SplitMeasurement | None:
    """Return the measurement of the validation episodes, or what the last validation logged where that shows more.

    Args:
        measured: the measurement; None where no step could be measured.
        split: the validation episodes.
        metrics: that the last validation logged.
    """
    validation = _validation(metrics)
    if measured is None and int(split.lengths.max()) > measured_steps.MAX_LENGTH:
        measured = validation
    rare = evaluated(metrics).rare
    if measured is None or validation is None or rare is None or rare >= at.RARE or measured.explains:
        return measured
    # Few of the steps that were measured have a rare outcome; the validation evaluated them all.
    of_all = replace(validation, curve=_at_once(_gain_of_evaluated(metrics)))
    return of_all if of_all.gains else measured


def _validation(metrics: Mapping[str, float]) -> SplitMeasurement | None:
    """Return what a validation logged as a measurement: one distance, and no interval."""
    loss = "nll" if "val/base_rate" in metrics else "mse"
    if not {"val/memory_gain", "val/local_nll", f"val/{loss}", f"val/local_{loss}"} <= metrics.keys():
        return None
    without = max(metrics[f"val/local_{loss}"], TINY)
    own = _entropy(metrics.get("val/base_rate", 0.5)) if loss == "nll" else metrics.get("val/mean_mse", without)
    return SplitMeasurement(
        episodes=0,
        curve=_at_once(metrics["val/memory_gain"]),
        surprise=metrics["val/local_nll"] * BITS_PER_NAT,
        explained=1 - metrics[f"val/{loss}"] / without,
        uncertain=without / max(own, TINY),
    )


def _gain_of_evaluated(metrics: Mapping[str, float]) -> float:
    """Return the gain of classes at all evaluated steps, in bits: none where the memory is worse than always giving the
    share of the most frequent class."""
    if metrics["val/nll"] >= _entropy(metrics["val/base_rate"]):
        return 0.0
    return BITS_PER_NAT * (metrics["val/local_nll"] - metrics["val/nll"])


def _at_once(gain: float) -> tuple[CurvePoint]:
    """Return the curve of which only the gain of distance 0 is known, and that without an interval."""
    return (CurvePoint(0, Estimate(gain, gain, gain), Estimate(0.0, 0.0, 0.0), Estimate(*[gain / 2] * 3), 0, 0),)


def _entropy(share: float) -> float:
    """Return the entropy of two classes, in nats; of more classes it is larger."""
    share = min(max(share, 1e-9), 1 - 1e-9)
    return -share * math.log(share) - (1 - share) * math.log(1 - share)
