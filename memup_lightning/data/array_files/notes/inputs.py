"""Inputs that give the outcome of the same step away: its copy, other codes of it, another unit, or indicators together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memup_lightning.data.array_files.layout import Array, UserEpisodes
from memup_lightning.data.array_files.notes.dependence import (
    determines,
    goes_with,
    is_scaled,
    number_runs,
    recurs,
    together_determine,
)
from memup_lightning.data.array_files.notes.leaving_out import how_to_leave_out
from memup_lightning.typing import BoolArray

_FEWEST = 32  # outcomes that an input is compared with
_MAX_PAIRS = 10_000  # of components of x and y that are compared
_SAMPLE = 100_000  # outcomes that are looked at, spread over all
_MIN_NUMBERS = 16  # that differ: fewer are in proportion to an input by chance
_SHOWN = 5  # inputs that are named together


def input_notes(user: UserEpisodes, y: str) -> Iterator[str]:
    """Point out inputs from which the outcome of the same step can be read; the local context reads them.

    Args:
        user: what was read of the training file.
        y: name of the outcome.
    """
    outcomes, exists = user.outcomes, user.has_outcome
    if len(outcomes) < _FEWEST or (outcomes == outcomes[0]).all():  # few are equal by chance
        return
    equal = list(_equal_to(outcomes, user, exists))
    for name in equal:
        yield (
            f"{name!r} of x is {y!r}, the outcome, at all {len(outcomes):,} steps that have one: the local context reads "
            f"what is to be predicted; leave it out of x{how_to_leave_out(user, [name])}, or give the value of the step "
            "before"
        )
    for names in _giving_away(outcomes, user, exists):
        if names[0] in equal:
            continue
        each, them = ("each of its values goes", "it") if len(names) == 1 else ("their values together go", "them")
        shown = ", ".join(map(repr, names[:_SHOWN])) + ", ..." * (len(names) > _SHOWN)
        yield (
            f"{shown} of x {'gives' if len(names) == 1 else 'give'} {y!r}, the outcome of the same step, away: {each} with "
            f"one of {y!r}. The local context reads what is to be predicted, so no memory is needed; leave {them} out of "
            f"x{how_to_leave_out(user, names)}, or give the value of the step before"
        )


def _equal_to(outcomes: Array, user: UserEpisodes, exists: BoolArray) -> Iterator[str]:
    """Yield the inputs that are a component of the outcomes at the steps that have one."""
    if not user.y_names:
        first = np.flatnonzero(exists)[:_FEWEST]  # which decide nearly always
        for name, column in _columns(user, outcomes):
            for outcome in outcomes.reshape(len(outcomes), -1).T:
                if (column[first] == outcome[:_FEWEST]).all() and (column[exists] == outcome).all() and np.ptp(outcome):
                    yield name
                    break
        return
    number = {name: code for code, name in enumerate(user.y_names)}
    for name, text in user.texts.items():
        codes = np.array([*(number.get(value, -1) for value in text.values), -1])  # the last one of missing text
        if (codes[text.codes[exists]] == outcomes).all():
            yield name


def _giving_away(outcomes: Array, user: UserEpisodes, exists: BoolArray) -> Iterator[list[str]]:
    """Yield the inputs that determine a component of the outcomes or are in proportion to it, alone or together."""
    rows = np.flatnonzero(exists)
    rows = rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64)]
    episode = np.repeat(np.arange(len(user.lengths)), user.lengths)[rows]
    columns = [*_columns(user, outcomes), *((name, text.codes) for name, text in user.texts.items())]
    inputs = {name: column[rows] for name, column in columns}
    found: list[str] = []
    for outcome in user.y.reshape(len(user.y), -1)[rows].T:
        values, codes = np.unique(outcome, return_inverse=True)
        runs = number_runs(codes, episode)
        is_known = recurs(codes, runs)
        is_number = user.y.dtype.kind == "f" and len(values) >= _MIN_NUMBERS
        for name, given in inputs.items():
            if name not in found and (
                (is_known and (goes_with(given, codes) or determines(given, codes, runs)))
                or (is_number and is_scaled(given, outcome))
            ):
                found.append(name)
                yield [name]
        others = {name: given for name, given in inputs.items() if name not in found}
        if is_known and (names := together_determine(others, codes, episode)):
            found += names
            yield names


def _columns(user: UserEpisodes, outcomes: Array) -> list[tuple[str, Array]]:
    """Return name and values of the components of x, not of images; none where there are too many to compare."""
    if user.x is None or user.x.ndim > 2:
        return []
    columns = user.components()
    return [] if len(columns) * outcomes[0].size > _MAX_PAIRS else columns
