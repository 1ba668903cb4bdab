"""Losses by which a verdict judges predictions: with memory, without, and of a constant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.chunk import StepBatch
from memup_lightning.modules import MemoryTask
from memup_lightning.modules.evaluation.estimate import Estimate, FloatArray, bootstrap
from memup_lightning.typing import BoolArray

_OUTLIERS = 0.01  # probability of outcomes that a prediction rules out, in shares of their classes
_STEPS_PER_CLASS = 10  # fewer do not show how often a class is


@dataclass
class Losses:
    """Losses at K steps of some episodes, with D states of the memory each: bits of classes, squared errors of numbers.

    A sure and wrong prediction of a class can cost more bits than the memory gains at a hundred other steps. So none costs
    more than it would if the class had a hundredth of the probability that is its share among the outcomes: 7 bits more
    than a constant. (GaussianOutcome bounds the likelihood of numbers in the same way.)

    Attributes:
        with_memory: ``[rows, K, D]``.
        without_memory: ``[rows, K]``.
        constant: of the one prediction that is best at all of these steps, the share of each class or the mean of the
            numbers, ``[rows, K]``; None where there are too few steps for so many classes.
        gain: over the predictor without memory, in bits, ``[rows, K, D]``.
        surprise: negative log-likelihood without memory, in bits, ``[rows, K]``.
        classes: whether the outcomes are classes.
        outlier_bits: mean by which the bound lowers the loss with the state of the same step; 0 for numbers.
        normal: negative log-likelihood in bits of numbers by the normal distribution of all of them; None for classes, and
            where a component is a constant.
        exchanged: what is lost in bits where the state of the same step is replaced by that of another episode,
            ``[rows, K]``; None: there are too few episodes.
    """

    with_memory: FloatArray
    without_memory: FloatArray
    constant: FloatArray | None
    gain: FloatArray
    surprise: FloatArray
    classes: bool
    outlier_bits: float = 0.0
    exchanged: FloatArray | None = None
    normal: float | None = None

    def over_others(self, counts: BoolArray) -> Estimate | None:
        """Estimate by how much the state of the same step explains more than that of another episode."""
        return None if self.exchanged is None else bootstrap(self.exchanged, counts)

    def gains(self, from_constant: bool) -> tuple[FloatArray, FloatArray]:
        """Return the memory gain, ``[rows, K, D]``, and what it is measured from, ``[rows, K]``, in bits.

        Args:
            from_constant: whether the gain of classes is measured from the constant, where the predictor without memory is
                worse than it: else its badness would count as a gain.
        """
        if not from_constant or self.constant is None or not self.classes:
            return self.gain, self.surprise
        return self.constant[..., None] - self.with_memory, self.constant

    def above_constant(self, loss: FloatArray, counts: BoolArray) -> Estimate | None:
        """Estimate by how much a loss, ``[rows, K]``, is above that of the constant."""
        return None if self.constant is None else bootstrap(loss - self.constant, counts)

    def local_is_worse(self, counts: BoolArray) -> bool:
        """Return whether the predictor without memory is worse than the constant, for certain."""
        above = self.above_constant(self.without_memory, counts)
        if above is None or self.constant is None:
            return False
        return above.low > 0 and above.mean > at.WORSE * float(self.constant[counts].mean())

    def excess_bits(self, counts: BoolArray) -> float:
        """Return by how much the likelihood without memory is worse than that of a constant; 0 where there is none."""
        constant = self.normal if self.constant is None or not self.classes else float(self.constant[counts].mean())
        return 0.0 if constant is None else float(self.surprise[counts].mean()) - constant


def compare_losses(
    model: MemoryTask, steps: StepBatch, memory: Tensor, distance: Tensor, counts: BoolArray, classes: bool
) -> Losses:
    """Predict the outcomes of steps with and without memory.

    Args:
        model: it predicts.
        steps: K steps of some episodes.
        memory: D states for each of them, ``[rows, K, D, output_size]``.
        distance: steps from a state to the step, ``[D]``.
        counts: which steps count, ``[rows, K]``; at least one does.
        classes: whether the outcomes are classes.
    """
    name = "nll" if classes else "residual"
    others = _of_other_episodes(memory[:, :, :1], counts)
    distance = distance if others is None else torch.cat([distance, distance[:1]])
    memory = memory if others is None else torch.cat([memory, others], dim=2)
    found: list[list[Tensor]] = []
    parts = -(-memory[..., 0].numel() // model.outcome.rows_at_once)
    parts = min(parts, len(memory))  # of many classes few rows are predicted at once
    for block, states in zip(steps.split(parts), memory.tensor_split(parts), strict=True):
        both = model.compare(block, states, distance)
        predictions = both.with_memory, both.without_memory
        found.append([*(getattr(x, name) for x in predictions), *(x.nll for x in predictions)])
    loss, local, nll, local_nll = (_array(torch.cat(x)) for x in zip(*found, strict=True))
    outcome = _array(steps.outcome)
    exchanged = None
    if others is not None:
        exchanged = nll[..., -1] - nll[..., 0]
        loss, nll = loss[..., :-1], nll[..., :-1]
    if not classes:
        y = outcome.reshape(*counts.shape, -1)
        squares = np.square(y - y[counts].mean(0))
        own = squares[counts].mean(0)
        return Losses(
            loss,
            local[..., 0],
            squares.mean(-1),
            local_nll - nll,
            local_nll[..., 0],
            classes=False,
            exchanged=exchanged,
            normal=float(0.5 * np.log2(2 * math.pi * math.e * own).sum()) if own.all() else None,
        )
    names, place, number = np.unique(outcome[counts], return_inverse=True, return_counts=True)
    share = np.ones(counts.shape)
    share[counts] = number[place] / len(place)
    bounded, local = _bounded(loss, share[..., None]), _bounded(local[..., 0], share)
    constant = None
    if len(place) >= _STEPS_PER_CLASS * len(names):
        # The shares are those of these very steps: of others they would leave so much more (Miller and Madow, 1955).
        constant = -np.log2(share) + (len(names) - 1) / (2 * len(place) * math.log(2))
    outliers = float((loss - bounded)[..., 0][counts].mean())
    gain = local[..., None] - bounded
    return Losses(bounded, local, constant, gain, local, classes=True, outlier_bits=outliers, exchanged=exchanged)


def _of_other_episodes(states: Tensor, counts: BoolArray) -> Tensor | None:
    """Return for each step that counts the state of another step that counts, mostly of another episode.

    Args:
        states: ``[rows, K, 1, output_size]``.
        counts: ``[rows, K]``.

    Returns:
        As ``states``; None where fewer than ten episodes have a step that counts.
    """
    if counts.any(1).sum() < at.MIN_EPISODES:
        return None
    row, place = np.nonzero(counts)
    other = np.random.default_rng(0).permutation(len(row))
    out = states.clone()
    out[row, place] = states[row[other], place[other]]
    return out


def _bounded(bits: FloatArray, share: FloatArray) -> FloatArray:
    """Return losses of classes, no larger than where the class of a share has a hundredth of it as its probability."""
    out: FloatArray = np.minimum(bits, -np.log2(_OUTLIERS * share))
    return out


def _array(x: Tensor) -> FloatArray:
    array: FloatArray = x.cpu().double().numpy()
    return array
