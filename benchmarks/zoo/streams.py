"""Many outcomes in an episode, or one at every step."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.zoo.problem import Made, MadeDataModule, Problem, Rng, classes


def switch(rng: Rng, number: int, length: int = 300, kinds: int = 4, share: float = 1 / 30) -> Made:
    """Make episodes in which some steps show one of several marks; the outcome of every step is the last mark. It is
    evaluated at steps without a mark."""
    shown = rng.random((number, length)) < share
    mark = rng.integers(kinds, size=(number, length))
    x = np.zeros((number, length, kinds), np.float32)
    np.put_along_axis(x, mark[..., None], shown[..., None].astype(np.float32), axis=2)
    since = np.maximum.accumulate(np.where(shown, np.arange(length), -1), axis=1)
    outcome = np.take_along_axis(mark, since.clip(0), axis=1)
    known = since >= 0
    return {"x": x, "outcome": outcome, "has_outcome": known, "eval_mask": known & ~shown}, None


def level(rng: Rng, number: int, length: int = 300, share: float = 0.05) -> Made:
    """Make episodes with a level, uniform in [-1, 1], that is shown where it changes; a tenth of the other steps has it as
    the outcome."""
    shown = rng.random((number, length)) < share
    shown[:, 0] = True
    value = rng.uniform(-1, 1, (number, length)).astype(np.float32)
    since = np.maximum.accumulate(np.where(shown, np.arange(length), 0), axis=1)
    x = np.stack([np.where(shown, value, 0), shown], axis=-1).astype(np.float32)
    asked = ~shown & (rng.random((number, length)) < 0.1)
    return {"x": x, "outcome": np.take_along_axis(value, since, axis=1), "has_outcome": asked}, None


def recall(rng: Rng, number: int, length: int = 100, keys: int = 4, values: int = 4) -> Made:
    """Make episodes that show a value for each key in the first steps; later steps ask for keys, 12 on average."""
    x = np.zeros((number, length, keys + values + 1), np.float32)
    order, value = rng.random((number, keys)).argsort(1), rng.integers(values, size=(number, keys))
    rows, place = np.arange(number)[:, None], np.arange(keys)
    x[rows, place, order] = 1
    x[rows, place, keys + np.take_along_axis(value, order, axis=1)] = 1
    asked = (rng.random((number, length)) < 1 / 8) & (np.arange(length) >= keys)
    asked[:, -1] = True
    key = rng.integers(keys, size=(number, length))
    row, step = asked.nonzero()
    x[row, step, key[row, step]] = 1
    x[row, step, -1] = 1
    return {"x": x, "outcome": np.take_along_axis(value, key, axis=1), "has_outcome": asked}, None


def casino(rng: Rng, number: int, length: int = 100) -> Made:
    """Make episodes with a coin toss as the outcome of every step but the last, whose outcome is the cue of the first."""
    x = np.zeros((number, length, 3), np.float32)
    outcome = rng.integers(2, size=(number, length))
    x[:, 0, 0] = 2 * outcome[:, -1] - 1
    x[:, -1, 1] = 1
    x[..., 2] = rng.normal(size=(number, length))
    last = np.zeros((number, length), np.bool_)
    last[:, -1] = True
    return {"x": x, "outcome": outcome, "eval_mask": last}, None


KEPT, NOISE = 0.99, 4.0  # what a step keeps of the hidden number; variance of what is seen of it


def filtering(rng: Rng, number: int, length: int = 200) -> Made:
    """Make episodes of a slow hidden number of variance 1, seen with much noise; it is the outcome of every step."""
    hidden = np.empty((number, length))
    hidden[:, 0] = rng.normal(size=number)
    for step in range(1, length):
        hidden[:, step] = KEPT * hidden[:, step - 1] + np.sqrt(1 - KEPT**2) * rng.normal(size=number)
    x = hidden + np.sqrt(NOISE) * rng.normal(size=hidden.shape)
    return {"x": x[..., None].astype(np.float32), "outcome": hidden.astype(np.float32)}, None


def filtered_variances(length: int = 200) -> np.ndarray:
    """Variance of the hidden number given all that was seen until each step (Kalman filter), ``[length]``."""
    out, before = np.empty(length), 1.0
    for step in range(length):
        out[step] = before * NOISE / (before + NOISE)
        before = KEPT**2 * out[step] + 1 - KEPT**2
    return out


def streams() -> list[Problem]:
    """Problems of this module."""
    local, filtered = NOISE / (1 + NOISE), filtered_variances()
    return [
        classes("switch", "the last mark, at every step", switch, 4),
        Problem(
            "level",
            "the last number shown, 90% of steps without outcome",
            partial(MadeDataModule, level),
            1 / 3,
            0.5 * np.log2(100),
        ),
        classes("recall", "4 values of 4, asked 12 times", recall, 4),
        classes("casino", "every other outcome is a coin toss", casino, 2),
        Problem(
            "filtering",
            "a number under noise, at every step",
            partial(MadeDataModule, filtering),
            local,
            float(np.log2(local / filtered).mean() / 2),
            float(filtered.mean()),
        ),
    ]
