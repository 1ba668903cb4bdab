"""Values of fields at a sample of steps, from which their scales are estimated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memup_lightning import rng
from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME, EpisodeSource
from memup_lightning.typing import Arrays, IntArray

_NUM_STEPS = 3 * 8192
_MAX_BYTES = 16 << 20  # of the values: fewer steps of wide fields ...
_MIN_STEPS = 3 * 512  # ... but so many at least
_ENOUGH_OUTCOMES, _MAX_DRAWS = 1024, 16  # where few steps have an outcome, more steps are drawn
_EPISODE, _STEP, _ANY = 31, 32, 33  # separate streams of random numbers


def sample_values(source: EpisodeSource, names: Sequence[str], seed: int, ends: bool = True) -> Arrays:
    """Read some fields at steps of all episodes; the same ones for the same seed.

    A third of the steps is anywhere, a third near the beginning of its episode and a third near its end, where every
    distance, on a logarithmic scale, is equally likely: what comes once, at the first or last of a million steps, is among
    them.

    Args:
        source: the episodes.
        names: the fields; of the outcome only values that exist are read.
        seed: the steps follow from it.
        ends: as above. If not, all steps of all episodes are equally likely, as a mean over them needs.

    Returns:
        Each field ``[steps, *shape]``, as stored.
    """
    found: Arrays = {}
    fields = [name for name in names if name != OUTCOME]
    if fields:
        step_bytes = sum(source.fields[name].step_bytes for name in fields)
        count = max(_MIN_STEPS, min(_NUM_STEPS, _MAX_BYTES // max(1, step_bytes)))
        draw = _draw(source, count, seed, 0) if ends else _draw_any(source, count, seed)
        read = source.gather(*draw, 1, fields)
        found = {name: x[:, 0] for name, x in read.items()}
    if OUTCOME in names:
        found[OUTCOME] = _sample_outcomes(source, seed)
    return found


def _sample_outcomes(source: EpisodeSource, seed: int) -> np.ndarray:
    wanted = [name for name in (OUTCOME, HAS_OUTCOME) if name in source.fields]
    parts: list[np.ndarray] = []
    for draw in range(_MAX_DRAWS):
        read = source.gather(*_draw(source, _NUM_STEPS, seed, draw), 1, wanted)
        outcome = read[OUTCOME][:, 0]
        parts.append(outcome[read[HAS_OUTCOME][:, 0]] if HAS_OUTCOME in read else outcome)
        if sum(map(len, parts)) >= _ENOUGH_OUTCOMES:
            break
    return np.concatenate(parts)


def _draw(source: EpisodeSource, count: int, seed: int, draw: int) -> tuple[IntArray, IntArray]:
    """Draw episodes and steps, in the order in which they are stored."""
    row = np.arange(count)
    episode = rng.integers(len(source), seed, _EPISODE, draw, row)
    length, uniform = source.lengths[episode], rng.uniform(seed, _STEP, draw, row)
    distance = np.floor(np.exp(uniform * np.log1p(length))) - 1
    position = np.choose(row % 3, [np.floor(uniform * length), distance, length - 1 - distance])
    position = position.astype(np.int64).clip(0, length - 1)
    order = np.lexsort((position, episode))
    return episode[order], position[order]


def _draw_any(source: EpisodeSource, count: int, seed: int) -> tuple[IntArray, IntArray]:
    """Draw steps among all of all episodes, in the order in which they are stored."""
    total = int(source.lengths.sum(dtype=np.int64))
    step = np.sort((rng.uniform(seed, _ANY, np.arange(count)) * total).astype(np.int64)).clip(0, total - 1)
    return locate_steps(source.lengths, step)


def locate_steps(lengths: IntArray, number: IntArray) -> tuple[IntArray, IntArray]:
    """Return episode, and step in it, of steps that are numbered through all episodes.

    Args:
        lengths: of the episodes.
        number: of each step, ``[rows]``, below the sum of the lengths.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    episode = np.searchsorted(ends, number, side="right")
    return episode, number - (ends[episode] - lengths[episode])
