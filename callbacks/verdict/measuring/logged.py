"""Measurement of a split by what the last validation logged: of episodes too long to be played again, and rare outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from memup_lightning.callbacks.verdict.measuring.split_measurement import CurvePoint, SplitMeasurement
from memup_lightning.modules.evaluation.estimate import Estimate
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT

TINY = 1e-30
"""Least square: those of small outcomes are small."""


def of_evaluated(validation: SplitMeasurement, metrics: Mapping[str, float]) -> SplitMeasurement:
    """Return a measurement of classes with their gain at all evaluated steps in place of that at the targets."""
    return replace(validation, curve=_at_once(_gain_of_evaluated(metrics)))


def _gain_of_evaluated(metrics: Mapping[str, float]) -> float:
    """Return the gain of classes at all evaluated steps, in bits: none where the memory is worse than always giving the
    share of the most frequent class."""
    if metrics["val/nll"] >= _entropy(metrics["val/base_rate"]):
        return 0.0
    return BITS_PER_NAT * (metrics["val/local_nll"] - metrics["val/nll"])


def of_validation(metrics: Mapping[str, float]) -> SplitMeasurement | None:
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


def _at_once(gain: float) -> tuple[CurvePoint]:
    """Return the curve of which only the gain of distance 0 is known, and that without an interval."""
    return (CurvePoint(0, Estimate(gain, gain, gain), Estimate(0.0, 0.0, 0.0), Estimate(*[gain / 2] * 3), 0, 0),)


def _entropy(share: float) -> float:
    """Return the entropy of two classes, in nats; of more classes it is larger."""
    share = min(max(share, 1e-9), 1 - 1e-9)
    return -share * math.log(share) - (1 - share) * math.log(1 - share)
