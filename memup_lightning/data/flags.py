"""Checks of the flags of a source: whether any step has an outcome, and whether the memory is evaluated at any."""

from __future__ import annotations

import warnings

import numpy as np

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, EpisodeSource
from memup_lightning.exceptions import MemUPError

_MAX_STEPS = 1_000_000  # that are looked at; sources may be far larger, and compute what is read
_EPISODES, _STEPS = 16, 1024  # of one look


def check_flags(source: EpisodeSource, name: str, trained_on: bool = True) -> None:
    """Refuse training episodes without any outcome; warn of others without, and of episodes of which no step is evaluated.

    The steps are read from the ends of the episodes on, since outcomes are there more often, until one is found.

    Args:
        source: the episodes.
        name: of the episodes, for the message.
        trained_on: whether they are training episodes.

    Raises:
        MemUPError: no step that was looked at has an outcome.
    """
    if HAS_OUTCOME in source.fields and (looked := _steps_without(source, [HAS_OUTCOME])):
        found = f"{name}: {HAS_OUTCOME} is false at all of {looked} steps, so nothing can be"
        advice = "mark the steps whose outcome is known"
        if trained_on:
            raise MemUPError(f"{found} learned from them; {advice}")
        warnings.warn(f"{found} evaluated on them; {advice}, or give more episodes", stacklevel=2)
        return
    if EVAL_MASK in source.fields and _steps_without(
        source, [x for x in (EVAL_MASK, HAS_OUTCOME) if x in source.fields]
    ):
        warnings.warn(
            f"{name}: {EVAL_MASK} is true at no step with an outcome, so the memory is not evaluated on them; "
            "mark the steps where it is to be evaluated, or leave the array out",
            stacklevel=2,
        )


def _steps_without(source: EpisodeSource, flags: list[str]) -> int:
    """Number of steps looked at, where the flags are true together at none of them; 0 where one was found."""
    groups = -(-len(source) // _EPISODES)
    looked = 0
    for group in range(groups):
        episodes = np.arange(group, len(source), groups)  # spread over the source
        lengths = source.lengths[episodes]
        for end in range(0, int(lengths.max()), _STEPS):
            rows, left = episodes[lengths > end], lengths[lengths > end] - end
            steps = min(_STEPS, int(left.max()))
            read = source.gather(rows, left - steps, steps, flags)
            inside = np.arange(steps) >= steps - left[:, None]
            if (np.logical_and.reduce([read[flag] for flag in flags]) & inside).any():
                return 0
            looked += int(inside.sum())
            if looked >= _MAX_STEPS:
                return looked
    return looked
