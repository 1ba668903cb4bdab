"""What users should know of the outcomes that they gave, where they may have meant others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.data.array_files.notes.inputs import input_notes
from memup_lightning.data.array_files.notes.spellings import spelling_notes
from memup_lightning.data.array_files.notes.text_values import as_numbers, written_number
from memup_lightning.specs import FieldType
from memup_lightning.user_warnings import option

_FIRST = 256  # outcomes that decide nearly always
_FEW, _OFTEN = 10, 4  # class numbers with gaps between them, and outcomes of each

_CLASS_NUMBERS = {
    False: "y.argmax(-1)",
    True: "give a column of them as y (pandas: table[columns].to_numpy().argmax(1) of several columns)",
}


def outcome_notes(user: UserEpisodes, y: str, episode: str, y_type: FieldType | None) -> Iterator[str]:
    """Yield notes on the outcomes, and on inputs that give them away; arguments as
    :func:`~memup_lightning.data.array_files.notes.training_file.training_notes` takes them."""
    yield from input_notes(user, y)
    yield from _type_notes(user, y, y_type)
    yield from spelling_notes(y, user.y_names)
    yield from _label_notes(user, y, episode)


def _type_notes(user: UserEpisodes, y: str, y_type: FieldType | None) -> Iterator[str]:
    if y_type is None and (found := _class_numbers(user)):
        yield (
            f"{y!r} holds whole numbers ({found}) as {user.y.dtype}, which are read as numbers; "
            f"{option('data.y_type', 'token')} reads them as classes, {option('data.y_type', 'vector')} says that numbers "
            "are meant"
        )
    elif y_type is None and _is_one_hot(user):
        width = user.y.shape[1]
        yield (
            f"{y!r} is read as vectors of {width} numbers, and each of them is one-hot (a single 1 among zeros); class "
            f"numbers would predict one of {width} classes: {_CLASS_NUMBERS[bool(user.columns)]}; "
            f"{option('data.y_type', 'vector')} says that numbers are meant"
        )
    elif y_type is None and (shown := written_number(user.y_names)):
        yield (
            f"{y!r} holds numbers as text, such as {shown!r}, which are read as {len(user.y_names):,} classes; write them "
            f"as numbers, if numbers are to be predicted (pandas: {as_numbers(y, user.y_names)}), or set "
            f"{option('data.y_type', 'token')}"
        )


def _is_one_hot(user: UserEpisodes) -> bool:
    """Whether outcomes are vectors that hold a single 1 among zeros."""
    if user.y.ndim != 2 or user.y.shape[1] < 2:
        return False
    y = user.outcomes
    return all(  # the first row decides nearly always
        bool(((part == 0) | (part == 1)).all() and (part.sum(1) == 1).all()) for part in (y[:1], y)
    )


def _class_numbers(user: UserEpisodes) -> str:
    """Return the range of floats that look like classes: whole numbers from 0 or 1 on without a gap, or, in a column with
    gaps, where pandas made floats of integers, a few whole numbers, each of them often. Empty for others."""
    if user.y.dtype == np.int64 or user.y.ndim > 1:
        return ""
    y = user.outcomes
    if not (y[:_FIRST] == np.floor(y[:_FIRST])).all() or y.min() < 0:
        return ""
    found, counts = np.unique(y, return_counts=True)
    if len(found) < 2 or (found != np.floor(found)).any() or len(y) == len(found):
        return ""
    without_gap = found[0] <= 1 and found[-1] - found[0] == len(found) - 1
    # Amounts of money and the like have a common divisor.
    few = len(found) <= _FEW and counts.min() >= _OFTEN and np.gcd.reduce(found.astype(np.int64)) == 1
    if without_gap or (few and bool(user.columns) and not user.has_outcome.all()):
        return f"{found[0]:.0f} to {found[-1]:.0f}" if without_gap else ", ".join(f"{value:.0f}" for value in found)
    return ""


def _label_notes(user: UserEpisodes, y: str, episode: str) -> Iterator[str]:
    begins = np.cumsum(user.lengths) - user.lengths
    if user.lengths.max() > 1 and 0 < user.num_outcomes == int(user.has_outcome[begins].sum()):
        sort = f", or in reverse order ({option('data.time')} names a column that sorts them)" * bool(user.columns)
        yield (
            f"{y!r} has outcomes at the first step of an episode alone, before there is anything to remember; give each at "
            f"the step where it is to be predicted. The steps may be in another order than was meant{sort}"
        )
    if _is_labelled_at_ends(user):
        yield (
            f"{y!r} has one value at all steps but the last of an episode; where that value means that there is "
            "no outcome yet, leave it empty, or nearly every step counts as right without a memory (pandas: "
            f"table.loc[table[{episode!r}].duplicated(keep='last'), {y!r}] = None)"
        )


def _is_labelled_at_ends(user: UserEpisodes) -> bool:
    """Whether outcomes differ only in the last steps of the episodes."""
    ends = np.zeros(len(user.y), np.bool_)
    ends[np.cumsum(user.lengths) - 1] = True
    exists = user.has_outcome
    others = user.y[exists & ~ends]
    return bool(len(others) and (others == others[0]).all() and (user.y[exists & ends] != others[0]).any())
