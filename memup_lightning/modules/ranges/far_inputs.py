"""Comparison of the inputs of whole episodes with those of training: another unit is seen by it, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.exceptions import counted
from memup_lightning.modules.ranges.input_range import InputRange
from memup_lightning.typing import Arrays, BoolArray, IntArray

_MOST = 0.5  # share of the steps
_FEW_STEPS = 16  # below which the share of far ones says nothing
_SHOWN = 3  # episodes that are named
_Column = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Inputs of whole episodes, or of some steps of them.

    Attributes:
        values: of each field, ``[steps, *shape]``.
        lengths: steps of each episode that the values are of.
        keys: what each of the episodes is called.
        key_name: what the keys are called.
        every_step: whether these are all steps of the episodes.
        every_episode: whether these are all episodes.
    """

    values: Arrays
    lengths: IntArray
    keys: Sequence[Any]
    key_name: str
    every_step: bool = True
    every_episode: bool = True


def far_inputs(known: InputRange, rows: Rows) -> list[str]:
    """Return a sentence for each component of the inputs that is far from its training data: at most steps, or at most
    steps of some episodes, or, where the range of training is known and all steps are there, at some steps.

    At most steps, far is beyond 5 spreads; else it is outside of ``limits`` of the
    :class:`~memup_lightning.modules.ranges.input_range.InputRange`, since numbers that are not normally distributed may
    be beyond.
    """
    said: list[str] = []
    for name in known.scales:
        if name not in rows.values:
            continue
        columns = rows.values[name].reshape(len(rows.values[name]), -1)
        low, high = known.usual_range(name)
        if len(columns):
            suspects = (columns.min(0) < low) | (columns.max(0) > high)
            for number in map(int, np.flatnonzero(suspects)):
                column = columns[:, number].astype(np.float64)
                said += (
                    f"{known.names[name][number]!r} is far from its training data {sentence}"
                    for sentence in _find(known, rows, name, number, column)
                )
    return said


def _find(known: InputRange, rows: Rows, name: str, number: int, column: _Column) -> Iterator[str]:
    """Yield what is far of a component of a field."""
    center, (low, high) = known.components(name)[0][number], (part[number] for part in known.usual_range(name))
    usual = known.usual(name, number)
    share = float(((column < low) | (column > high)).mean())
    if share > _MOST and len(column) >= _FEW_STEPS:
        yield f"at {share:.0%} of the steps: its median is {np.median(column):.4g}, {usual}; is it in the same unit?"
        return
    below, above = (limit[number] for limit in known.limits[name])
    outside = (column < below) | (column > above)
    of_episodes = _mostly(outside, rows.lengths)
    inside = np.repeat(of_episodes, rows.lengths)
    if (outside & inside).sum() >= _FEW_STEPS:
        found = [rows.keys[episode] for episode in map(int, np.flatnonzero(of_episodes))]
        looked = "" if rows.every_episode else " that were looked at"
        yield (
            f"in {len(found):,} of {counted(len(rows.lengths), 'episode')}{looked} ({rows.key_name} "
            f"{', '.join(map(str, found[:_SHOWN]))}{', ...' * (len(found) > _SHOWN)}): its median there is "
            f"{np.median(column[inside]):.4g}, {usual}; is it in the same unit there?"
        )
        outside &= ~inside
    if rows.every_step and name in known.ranges and known.counts_once[name][number] and outside.any():
        furthest = column[outside][np.abs(column[outside] - center).argmax()]
        yield (
            f"at {int(outside.sum()):,} of {counted(len(column), 'step')}: it is {furthest:.4g}, {usual}; is it a "
            "wrong reading?"
        )


def _mostly(flags: BoolArray, lengths: IntArray) -> BoolArray:
    """Return in which episodes flags are true at most steps."""
    total = np.concatenate([[0], np.cumsum(flags)])
    ends = np.cumsum(lengths)
    found: BoolArray = total[ends] - total[ends - lengths] > _MOST * lengths
    return found
