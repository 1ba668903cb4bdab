"""Outcomes that follow from many steps together, and one that the past makes only more or less likely."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks.zoo.problem import (
    Made,
    MadeDataModule,
    Problem,
    Rng,
    at_the_end,
    classes,
    entropy,
    gaussian_bits,
    tokens,
)
from memup_lightning.typing import Arrays, IntArray

HAZARDS, SHOCKED, LONGEST = (0.004, 0.06), 0.6, 300  # an hour, before and after a shock; share of shocked units; hours
FIRST_SHOCKS = 10, 150  # hours between which a shock comes


def failures(rng: Rng, number: int) -> tuple[Arrays, IntArray]:
    """Make logs of units that end with the unit's failure: a class at every hour, of which one in 130 is a failure. Some
    have a shock, which shows in one reading for three hours and makes failures 15 times as likely from then on."""
    shock = np.where(rng.random(number) < SHOCKED, rng.integers(*FIRST_SHOCKS, number), LONGEST)[:, None]
    hour = np.arange(LONGEST)
    failed = rng.random((number, LONGEST)) < np.where(hour > shock, HAZARDS[1], HAZARDS[0])
    lengths = np.where(failed.any(1), failed.argmax(1) + 1, LONGEST)
    x = rng.normal(size=(number, LONGEST, 3)).astype(np.float32)
    x[..., 0] = 1 + 0.2 * x[..., 0] + 4 * ((hour >= shock) & (hour < shock + 3))
    return {"x": x, "outcome": failed.astype(np.int64)}, lengths


def failure_bits() -> tuple[float, float]:
    """Uncertainty of an hour of :func:`failures`, in bits: without its past, and given all of it."""
    low, high = HAZARDS
    hours = np.zeros(2)  # expected, at each of the hazards
    for shock in range(*FIRST_SHOCKS):
        before = np.minimum(np.arange(LONGEST), shock + 1)
        survived = (1 - low) ** before * (1 - high) ** (np.arange(LONGEST) - before)
        hours += (
            SHOCKED
            / (FIRST_SHOCKS[1] - FIRST_SHOCKS[0])
            * np.array([survived[: shock + 1].sum(), survived[shock + 1 :].sum()])
        )
    hours[0] += (1 - SHOCKED) * ((1 - low) ** np.arange(LONGEST)).sum()
    share = hours / hours.sum()
    rate = float(share @ HAZARDS)
    return entropy(rate, 1 - rate), float(share @ [entropy(p, 1 - p) for p in HAZARDS])


EVIDENCE = 0.1  # by which a label moves readings, in standard deviations


def evidence(rng: Rng, number: int, length: int = 500) -> Made:
    """Make episodes whose label, of two, moves each of many noisy readings by a little."""
    label = rng.integers(2, size=number)
    x = rng.normal(size=(number, length, 2)).astype(np.float32)
    x[..., 0] += EVIDENCE * (2 * label[:, None] - 1)
    x[..., 1] = 0
    x[:, -1, 1] = 1
    return at_the_end(x, label)


def evidence_left(length: int = 500) -> float:
    """Uncertainty of the label given all readings, in bits."""
    mean, noise = 2 * EVIDENCE**2 * length, np.linspace(-8, 8, 4001)
    odds = mean + np.sqrt(2 * mean) * noise
    weight = np.exp(-(noise**2) / 2)
    return float(np.log2(1 + np.exp(-odds)) @ weight / weight.sum())


def maximum(rng: Rng, number: int, length: int = 200, share: float = 0.1) -> Made:
    """Make episodes with some lognormal readings; the outcome at the end is the largest of them."""
    there = rng.random((number, length)) < share
    there[:, 0] = True
    there[:, -1] = False
    value = np.where(there, rng.lognormal(0, 0.5, (number, length)), 0)
    x = np.stack([value, there, np.zeros_like(value)], axis=-1).astype(np.float32)
    x[:, -1, 2] = 1
    return at_the_end(x, value.max(1).astype(np.float32))


def maximum_variance(length: int = 200, share: float = 0.1) -> float:
    """Variance of the outcome of :func:`maximum`."""
    value = np.linspace(0.01, 40, 100_000)
    # Of one reading: the standard deviation is 0.5.
    below = torch.special.ndtr(torch.from_numpy(2 * np.log(value))).numpy()
    above = 1 - below * (1 - share + share * below) ** (length - 2)
    step = value[1] - value[0]
    mean, square = value[0] + above.sum() * step, value[0] ** 2 + (2 * value * above).sum() * step
    return float(square - mean**2)


def counter(rng: Rng, number: int, length: int = 200, kinds: int = 3, share: float = 0.06) -> Made:
    """Make episodes with pulses; some steps ask how many there were until then, modulo the number of classes."""
    pulse, asked = rng.random((number, length)) < share, rng.random((number, length)) < 0.05
    asked[:, -1] = True
    pulse &= ~asked
    x = np.stack([pulse, asked, rng.normal(size=(number, length))], axis=-1).astype(np.float32)
    late = asked & (np.arange(length) >= length // 2)  # all remainders are equally likely by then
    return {"x": x, "outcome": pulse.cumsum(1) % kinds, "has_outcome": asked, "eval_mask": late}, None


def gathered() -> list[Problem]:
    """Problems of this module."""
    local, left = failure_bits()
    variance = maximum_variance()
    evidence_past = evidence_left()
    return [
        Problem(
            "failures",
            "logs that end with a failure, 1 row of 130",
            partial(MadeDataModule, failures, {"outcome": tokens(2)}, num_val=4096),  # few bits are explainable
            local,
            local - left,
            left,
        ),
        Problem(
            "evidence",
            "a label moves 500 readings by a tenth of their noise",
            partial(MadeDataModule, evidence, {"outcome": tokens(2)}),
            1.0,
            1 - evidence_past,
            evidence_past,
        ),
        Problem(
            "largest",
            "of some 20 lognormal readings in 200 steps",
            partial(MadeDataModule, maximum),
            variance,
            gaussian_bits(variance, 0),
        ),
        classes("counter", "pulses counted modulo 3, asked 10 times", counter, 3),
    ]
