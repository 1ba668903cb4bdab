"""One or two cues, and an outcome at the last step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

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
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.specs import FieldSpec


def random_cue(
    rng: Rng, number: int, length: int = 200, kinds: int = 4, until: int | None = None, decoys: float = 0.0
) -> Made:
    """Make episodes of ``[a number for each kind, real, question]``: a cue of some kind comes at a random step and is the
    outcome of the last step.

    Args:
        rng: random numbers.
        number: of episodes.
        length: steps.
        kinds: classes.
        until: the cue comes before this step; by default anywhere but at the last.
        decoys: share of the other steps that show a cue which is not marked as real.
    """
    x = np.zeros((number, length, kinds + 2), np.float32)
    rows = np.arange(number)
    if decoys:
        fake = rng.integers(kinds, size=(number, length))
        shown = rng.random((number, length)) < decoys
        np.put_along_axis(x, fake[..., None], shown[..., None].astype(np.float32), axis=2)
    kind, when = rng.integers(kinds, size=number), rng.integers(until or length - 1, size=number)
    x[rows, when] = 0
    x[rows, when, kind] = 1
    x[rows, when, kinds] = 1
    x[:, -1] = 0
    x[:, -1, -1] = 1
    return at_the_end(x, kind)


def rare_fault(rng: Rng, number: int, length: int = 100, share: float = 0.05) -> Made:
    """Make episodes of noise with a mark in the first 20 steps: a fault follows at the end where it is positive."""
    x = rng.normal(size=(number, length, 3)).astype(np.float32)
    x[..., 1:] = 0
    fault = (rng.random(number) < share).astype(np.int64)
    x[np.arange(number), rng.integers(20, size=number), 1] = np.where(fault, 1, -1)
    x[:, -1, 2] = 1
    return at_the_end(x, fault)


def many_tokens(rng: Rng, number: int, length: int = 50, kinds: int = 5000, cues: int = 10) -> Made:
    """Make episodes of tokens: one of the first ten comes once in the first 20 steps, the last one asks for it."""
    x = rng.integers(cues, kinds - 1, size=(number, length))
    cue = rng.integers(cues, size=number)
    x[np.arange(number), rng.integers(20, size=number)] = cue
    x[:, -1] = kinds - 1
    return at_the_end(x, cue)


def small_images(rng: Rng, number: int, length: int = 40, side: int = 16) -> Made:
    """Make episodes of noisy grey images: the first shows a square in one of four quarters, the last is bright."""
    x = rng.integers(60, size=(number, length, side, side, 1), dtype=np.uint8)
    quarter, half = rng.integers(4, size=number), side // 2
    for place in range(4):
        top, left = half * (place // 2) + 2, half * (place % 2) + 2
        x[quarter == place, 0, top : top + 4, left : left + 4] = 255
    x[:, -1] += 150
    return at_the_end(x, quarter)


def numbers(rng: Rng, number: int, length: int = 100, components: int = 1) -> Made:
    """Make episodes that show numbers, uniform in [-1, 1]: a marked one (for each component) in the first 30 steps is the
    outcome at the end."""
    x = np.zeros((number, length, components + 2), np.float32)
    x[..., 0] = rng.uniform(-1, 1, (number, length))
    order = np.sort(rng.random((number, 30)).argsort(1)[:, :components], axis=1)
    rows = np.arange(number)[:, None]
    x[rows, order, 1 + np.arange(components)] = 1
    x[:, -1] = 0
    x[:, -1, -1] = 1
    outcome = x[rows, order, 0]
    return at_the_end(x, outcome if components > 1 else outcome[:, 0])


def two_cues(rng: Rng, number: int, length: int = 100, kinds: int = 2) -> Made:
    """Make episodes with a cue in each half: the outcome of the last step is their sum modulo their number."""
    x = np.zeros((number, length, kinds + 1), np.float32)
    rows, half = np.arange(number), length // 2
    first, second = rng.integers(kinds, size=(2, number))
    x[rows, rng.integers(half, size=number), first] = 1
    x[rows, rng.integers(half, length - 1, size=number), second] = 1
    x[:, -1, -1] = 1
    return at_the_end(x, (first + second) % kinds)


def events(rng: Rng, number: int, length: int = 200, share: float = 0.03) -> Made:
    """Make episodes with events; the outcome at the end is how many there were, a number."""
    x = np.zeros((number, length, 3), np.float32)
    x[..., 0] = rng.random((number, length)) < share
    x[..., 1] = rng.normal(size=(number, length))
    x[:, -1] = 0
    x[:, -1, 2] = 1
    return at_the_end(x, x[..., 0].sum(1))


def sensors(seed: int = 0, machines: int = 1000, rows: int = 500) -> Iterator[tuple[Any, Any]]:
    """Yield the log of each machine in raw units (temperature, pressure, mark, last row) and whether it failed at the end:
    the mark of its calibration, in the first 200 rows, decides."""
    rng = np.random.default_rng(seed)
    for _ in range(machines):
        fault = int(rng.integers(2))
        log = np.zeros((rows, 4), np.float32)
        log[:, 0], log[:, 1] = rng.normal(350, 40, rows), rng.normal(1e5, 1e3, rows)
        log[rng.integers(200), 2] = 2 * fault - 1
        log[-1, 3] = 1
        yield log, fault


def cues() -> list[Problem]:
    """Problems of this module."""
    image = FieldSpec((16, 16, 1), "uint8", "image")
    steps, share = 199, 0.03  # of :func:`events`; the last step shows none
    events_bits = entropy(*(math.comb(steps, k) * share**k * (1 - share) ** (steps - k) for k in range(steps + 1)))
    return [
        classes("early cue", "one of 4 in the first 20 steps, asked after 200", partial(random_cue, until=20), 4),
        classes("late cue", "one of 4 at any step of 200", random_cue, 4),
        classes("decoys", "a third of the steps show cues, one is real", partial(random_cue, decoys=1 / 3), 4),
        classes("rare fault", "a class of 5%", rare_fault, 2, entropy(0.05, 0.95)),
        classes("5,000 tokens", "one of 10 among 4,989 others", many_tokens, 10, x=tokens(5000)),
        classes(
            "small images", "16x16 grey; which quarter at the first step", small_images, 4, num_train=1024, x=image
        ),
        classes("exclusive or", "two cues in two halves of 100 steps", two_cues, 2),
        classes("sum modulo 3", "two cues of 3 in two halves of 100 steps", partial(two_cues, kinds=3), 3),
        Problem(
            "a number",
            "shown once, asked after 100 steps",
            partial(MadeDataModule, numbers),
            local=1 / 3,
            bits=gaussian_bits(1 / 3, 0),
        ),
        Problem(
            "two numbers",
            "a vector as the outcome",
            partial(MadeDataModule, partial(numbers, components=2)),
            local=1 / 3,
            bits=2 * gaussian_bits(1 / 3, 0),
        ),
        Problem(
            "count",
            "of events in 200 steps",
            partial(MadeDataModule, events),
            local=steps * share * (1 - share),
            bits=events_bits,
        ),
        Problem(
            "raw sensors",
            "units of 350 and 1e5, ArrayDataModule",
            partial(ArrayDataModule, sensors),
            local=1.0,
            bits=1.0,
        ),
    ]
