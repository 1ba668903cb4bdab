"""Checks of the outcomes of a source: whether any step has one, whether they differ, and whether any is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, EpisodeSource
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays, BoolArray
from memup_lightning.user_warnings import warn_user

OTHER_OUTCOMES = "give training episodes whose outcomes differ, or another outcome"
"""What to do where all outcomes are equal."""
UNMARKED = f"{HAS_OUTCOME} is false everywhere; mark the steps whose outcome is known"
"""Why no step has an outcome, and what to do, where the data say which steps have one."""
_MAX_STEPS = 1_000_000  # that are looked at; sources may be far larger, and compute what is read
_SHOWN = 6  # components of an outcome
_EPISODES, _STEPS = 16, 1024  # of one look


def check_outcomes(source: EpisodeSource, name: str, trained_on: bool = True, why: str = UNMARKED) -> str | None:
    """Refuse training episodes without any outcome; warn of others without, of training episodes whose outcomes are all
    equal, and of episodes of which no step is evaluated.

    The steps are read from the ends of the episodes on, since outcomes are there more often, until one is found, or two
    that differ; of huge sources not all of them.

    Args:
        source: the episodes.
        name: of the episodes, for the message.
        trained_on: whether they are training episodes.
        why: why no step has an outcome, where none has, and what to do.

    Returns:
        What is wrong with outcomes of training episodes that are all equal, without the name; None of others.

    Raises:
        MemUPError: no step that was looked at has an outcome.
    """
    if HAS_OUTCOME in source.fields and (looked := _steps_without(source, [HAS_OUTCOME])):
        found = f"{name}: none of {looked:,} steps has an outcome, so nothing can be"
        if trained_on:
            raise MemUPError(f"{found} learned from them: {why}")
        warn_user(f"{found} evaluated on them: {why}, or give more episodes")
        return None
    equal = _equal_outcomes(source) if trained_on and OUTCOME in source.fields else None
    if equal is not None:
        warn_user(f"{name}: {equal}; {OTHER_OUTCOMES}")
    if EVAL_MASK in source.fields and _steps_without(
        source, [x for x in (EVAL_MASK, HAS_OUTCOME) if x in source.fields]
    ):
        warn_user(
            f"{name}: {EVAL_MASK} is true at no step with an outcome, so the memory is not evaluated on them; "
            "mark the steps where it is to be evaluated, or leave the array out"
        )
    return equal


def _equal_outcomes(source: EpisodeSource) -> str | None:
    """Say that all outcomes are equal; reading stops at the first two that differ."""
    flags = [HAS_OUTCOME] if HAS_OUTCOME in source.fields else []
    first: Any = None
    found = looked = 0
    for read, inside in _looks(source, [OUTCOME, *flags]):
        looked += int(inside.sum())
        values = read[OUTCOME][inside & read[HAS_OUTCOME]] if flags else read[OUTCOME][inside]
        if not len(values):
            continue
        first = values[0] if first is None else first
        if (values != first).any():
            return None
        found += len(values)
    if not found:
        return None
    field = source.fields[OUTCOME]
    value = repr(field.names[first]) if field.names and not field.shape else _plain(first)
    kind = "class " if field.type == "token" else ""
    steps = f"all {found:,} steps with an outcome" if found > 1 else "the only step with an outcome"
    is_every = looked == source.lengths.sum(dtype=np.int64)
    so = ", so there is" if is_every else " that were looked at, so there may be"
    return f"the outcome is {kind}{value} at {steps}{so} nothing to learn"


def _plain(value: Any) -> str:
    """Format an outcome: a number as its own precision shows it."""
    numbers = ", ".join(map(str, np.ravel(value)[:_SHOWN]))
    return f"[{numbers}{', ...' * (np.size(value) > _SHOWN)}]" if np.ndim(value) else numbers


def _steps_without(source: EpisodeSource, flags: list[str]) -> int:
    """Count the steps looked at, where the flags are true together at none of them; 0 where one was found."""
    looked = 0
    for read, inside in _looks(source, flags):
        if (np.logical_and.reduce([read[flag] for flag in flags]) & inside).any():
            return 0
        looked += int(inside.sum())
    return looked


def _looks(source: EpisodeSource, names: list[str]) -> Iterator[tuple[Arrays, BoolArray]]:
    """Yield fields ``[episodes, steps, *shape]`` and which of the steps exist, from the ends of the episodes on."""
    groups = -(-len(source) // _EPISODES)
    looked = 0
    for group in range(groups):
        episodes = np.arange(group, len(source), groups)  # spread over the source
        lengths = source.lengths[episodes]
        for end in range(0, int(lengths.max()), _STEPS):
            rows, left = episodes[lengths > end], lengths[lengths > end] - end
            steps = min(_STEPS, int(left.max()))
            inside: BoolArray = np.arange(steps) >= steps - left[:, None]
            yield source.gather(rows, left - steps, steps, names), inside
            looked += int(inside.sum())
            if looked >= _MAX_STEPS:
                return
