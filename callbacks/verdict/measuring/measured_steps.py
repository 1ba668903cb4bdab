"""Choice of the episodes and steps at which the memory is measured at the end of a run."""

from __future__ import annotations

import numpy as np

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.data.episodes import EVAL_MASK
from memup_lightning.data.subset import spread_over
from memup_lightning.data.targets import NOWHERE
from memup_lightning.modules import MemoryTask
from memup_lightning.modules.targets.scoring import score_episodes
from memup_lightning.protocols import ChunkSource, EpisodeSplit, TargetLearner
from memup_lightning.typing import IntArray, Split

MAX_EPISODES, MAX_PLACES = 512, 8
"""Episodes of a split that are measured, and steps of each, at most."""
MAX_LENGTH = 50_000
"""Steps of an episode that are played."""
_LOOKED_AT = 16  # episodes, for the places of their outcomes
_MAX_STEPS, _MAX_BYTES = 1 << 20, 1 << 28  # read for a split, at most
_MANY_EPISODES, _FEW_STEPS, _FEW_BYTES = 64, 1 << 18, 1 << 26  # more episodes than these only where they are so short
_TRIED = 64  # steps of an episode in which outcomes are looked for, where the data mark none
_LANES = 64  # episodes that are scored at once


def choose(model: MemoryTask, data: ChunkSource, name: Split) -> tuple[IntArray, IntArray]:
    """Return the episodes of a split at which the memory is measured, ``[rows]``, and steps of each, ``[rows, K]``.

    The steps are those that the data mark, else the targets, else (of a module without targets) steps with an outcome;
    :data:`NOWHERE` where there are fewer. Validations select targets of a few episodes: those of the others are selected
    here, for this measurement alone.

    Args:
        model: selects targets, where it learns from them.
        data: the episodes.
        name: of the split.
    """
    split, has_targets = data.splits[name], model.needs_targets()
    at_targets = has_targets and not split.has_eval_mask
    episodes = np.arange(len(split.lengths))
    selects = name != "train" and isinstance(model, TargetLearner) and data.splits["train"].targets.num_refreshes > 0
    if at_targets and not selects:
        episodes = episodes[split.targets.scored]
    chosen = _spread(split, episodes)
    if not at_targets or not selects:
        return chosen, _steps(split, chosen, has_targets)
    assert isinstance(model, TargetLearner)
    new = chosen[~split.targets.scored[chosen]]
    if split.lengths[new].sum() > _MAX_STEPS:  # targets are selected from whole episodes
        chosen = _spread(split, episodes[split.targets.scored])
        return chosen, _steps(split, chosen, has_targets)
    before = split.targets.take(new)
    try:
        score_episodes(data, model, name, new, _LANES)
        return chosen, _steps(split, chosen, has_targets)
    finally:
        split.targets.put(new, before)
        split.targets.scored[new] = False


def ends_alone(split: EpisodeSplit) -> bool:
    """Return whether episodes of up to SHORT steps have an outcome at their last step alone, as some show."""
    longest = int(split.lengths.max())
    if longest > at.SHORT:
        return False
    episodes = spread_over(len(split.lengths), _LOOKED_AT)
    steps, last = np.arange(longest), split.lengths[episodes, None] - 1
    has_outcome = split.steps_at(episodes, np.where(steps <= last, steps, NOWHERE)).valid.numpy()
    return bool(has_outcome.any() and not has_outcome[steps != last].any())


def _spread(split: EpisodeSplit, usable: IntArray) -> IntArray:
    """Return some of the usable episodes, spread over the split: as many as may be read, and many only of short ones."""
    lengths, task = split.lengths, split.task
    step_bytes = sum(field.step_bytes for field in (task.input_fields | task.context_fields).values())
    mean = float(np.minimum(lengths, MAX_LENGTH).mean())
    short = min(MAX_EPISODES, int(min(_FEW_STEPS, _FEW_BYTES / max(1, step_bytes)) / mean))
    number = min(max(_MANY_EPISODES, short), len(usable))
    chosen = usable[np.linspace(0, len(usable) - 1, number).round().astype(np.int64)] if number else usable
    steps = np.minimum(lengths[chosen], MAX_LENGTH).cumsum()
    fits = (steps <= _MAX_STEPS) & (steps * step_bytes <= _MAX_BYTES)
    fits[:1] = True
    return chosen[fits]


def _steps(split: EpisodeSplit, episodes: IntArray, has_targets: bool) -> IntArray:
    """Return the steps of some episodes at which the memory is measured, ``[rows, K]``."""
    lengths = np.minimum(split.lengths[episodes], MAX_LENGTH)
    if split.has_eval_mask:
        found = [
            np.flatnonzero(split.read_field(int(episode), np.arange(length), EVAL_MASK))
            for episode, length in zip(episodes, lengths, strict=True)
        ]
    elif has_targets:
        chosen = split.targets.select(episodes, np.zeros(len(episodes), np.int64))
        found = [np.unique(row[row < length]) for row, length in zip(chosen, lengths, strict=True)]
    else:
        found = []
        for row, length in enumerate(lengths):
            tried = np.unique(np.linspace(0, length - 1, _TRIED).round().astype(np.int64))
            found.append(tried[split.steps_at(episodes[row : row + 1], tried[None]).valid[0].numpy()])
    places = np.full((len(episodes), MAX_PLACES), NOWHERE)
    for row, steps in enumerate(found):
        number = min(MAX_PLACES, len(steps))
        # The last ones first: where there is a single outcome for many steps, it is the last.
        places[row, :number] = steps[np.linspace(len(steps) - 1, 0, number).round().astype(np.int64)]
    return places
