"""Problem: a small task whose explainable information is known, and a datamodule for episodes that a function makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.datamodules import EpisodeDataModule
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays, FloatArray, IntArray, Split

Maker = Callable[[np.random.Generator, int], tuple[Arrays, IntArray | None]]
"""``(random numbers, number of episodes) -> arrays [episodes, longest, ...], lengths``; None: all have the same length."""
Made = tuple[Arrays, None]
"""Result of a :data:`Maker` whose episodes have the same length."""
Rng = np.random.Generator


@dataclass(frozen=True)
class Problem:
    """A small task with known explainable information.

    The unit of ``local`` and ``past`` is that of the outcome: bits for classes, squared units for numbers (the mean of the
    components of a vector). Both are means over the evaluated steps.

    Attributes:
        name: of the row.
        about: what is special about it.
        data: makes its datamodule; called after the seed is set.
        local: uncertainty of the outcome given the local context: its entropy, or its variance.
        past: the same given the whole past.
        bits: explainable information of an evaluated step. Of numbers that have a density: in units of the Gaussian of
            that variance, where a standard deviation of a tenth of the local one counts as exact.

    """

    name: str
    about: str
    data: Callable[[], EpisodeDataModule]
    local: float
    bits: float
    past: float = 0.0

    def share(self, metrics: Mapping[str, float], task: TaskSpec) -> float:
        """Compute the share of the explainable information that a memory explains; below 0 where it misleads.

        Args:
            metrics: ``val/nll`` in nats, or ``val/mse`` for numbers.
            task: of the data.
        """
        left = metrics["val/nll"] / math.log(2) if task.outcome.type == "token" else metrics["val/mse"]
        return (self.local - left) / (self.local - self.past)


def gaussian_bits(local: float, past: float) -> float:
    """Information of a number of variance ``local`` that is known up to a variance of ``past``, or of a hundredth."""
    return 0.5 * math.log2(local / max(past, local / 100))


def entropy(*probabilities: float) -> float:
    """Entropy of a distribution over classes in bits."""
    return -sum(p * math.log2(p) for p in probabilities if p > 0)


class MadeDataModule(EpisodeDataModule):
    """Episodes that a function makes.

    The memory reads every field but outcome and flags; ``action`` and ``reward`` those of the step before. The local
    context is the same without the reward.

    Args:
        make: makes the episodes of a split.
        fields: those that are not vectors of numbers, and an outcome of classes.
        num_train, num_val: episodes.
    """

    def __init__(
        self, make: Maker, fields: Mapping[str, FieldSpec] | None = None, num_train: int = 4096, num_val: int = 256
    ) -> None:
        super().__init__()
        self.make = make
        self.num_episodes: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_val}
        self._given = dict(fields or {})
        self._fields = self.episodes("val").fields

    @property
    def task(self) -> TaskSpec:
        fields = {name: x for name, x in self._fields.items() if name not in (OUTCOME, HAS_OUTCOME, EVAL_MASK)}
        inputs = {name: int(name in ("action", "reward")) for name in fields}
        context = tuple(name for name in fields if name != "reward")
        return TaskSpec(fields, inputs, context, self._fields[OUTCOME])

    def episodes(self, split: Split) -> ArrayEpisodes:
        number = self.num_episodes[split]
        arrays, lengths = self.make(np.random.default_rng(self.split_seed(split)), number)
        longest = arrays[OUTCOME].shape[1]
        if lengths is None:
            lengths = np.full(number, longest)
        there = np.arange(longest) < lengths[:, None]
        return ArrayEpisodes({name: x[there] for name, x in arrays.items()}, lengths, self._given)


def at_the_end(x: npt.NDArray[Any], outcome: npt.NDArray[Any]) -> Made:
    """Episodes whose last step alone has an outcome: x ``[episodes, steps, ...]``, outcome ``[episodes, ...]``."""
    number, length = x.shape[:2]
    last = np.zeros((number, length), np.bool_)
    last[:, -1] = True
    y = np.zeros((number, length, *outcome.shape[1:]), outcome.dtype)
    y[:, -1] = outcome
    return {"x": x, "outcome": y, "has_outcome": last}, None


def classes(
    name: str,
    about: str,
    make: Maker,
    count: int,
    bits: float | None = None,
    num_train: int = 4096,
    **fields: FieldSpec,
) -> Problem:
    """A problem whose outcome is one of some classes, by default equally likely."""
    bits = math.log2(count) if bits is None else bits
    data = partial(MadeDataModule, make, {"outcome": tokens(count), **fields}, num_train)
    return Problem(name, about, data, local=bits, bits=bits)


def tokens(classes: int) -> FieldSpec:
    """A field of class numbers."""
    return FieldSpec((), "int64", "token", classes)


def signs(rng: np.random.Generator, *shape: int) -> FloatArray:
    """Coin tosses, -1 or 1, float32."""
    return (2 * rng.integers(2, size=shape) - 1).astype(np.float32)
