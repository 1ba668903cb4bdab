"""What users should know of the outcomes that they gave, where they may have meant others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memup_lightning.data.array_files.columns import whole_from_zero
from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.data.array_files.notes.inputs import input_notes
from memup_lightning.data.array_files.notes.spellings import spelling_notes
from memup_lightning.data.array_files.notes.text_values import as_numbers, written_number
from memup_lightning.specs import FieldType
from memup_lightning.user_warnings import option

_CLASS_NUMBERS = {
    False: "y.argmax(-1)",
    True: "give a column of them as y (pandas: table[columns].to_numpy().argmax(1) of several columns)",
}


def outcome_notes(user: UserEpisodes, y: str, episode: str, y_type: FieldType | None) -> list[str]:
    """Return notes for the user: a sentence each, without the name of the source.

    Args:
        user: what was read of the training file.
        y, episode: names of the outcome, and of the column that says to which episode a row belongs.
        y_type: of the outcome, where the user gave one.
    """
    return [
        *input_notes(user, y),
        *_type_notes(user, y, y_type),
        *spelling_notes(y, user.y_names),
        *_label_notes(user, y, episode),
    ]


def _type_notes(user: UserEpisodes, y: str, y_type: FieldType | None) -> Iterator[str]:
    if y_type is None and _are_class_numbers(user):
        yield (
            f"{y!r} holds whole numbers from 0 on as {user.y.dtype}, which are read as numbers; "
            f"{option('data.y_type', 'token')} reads them as classes"
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


def _are_class_numbers(user: UserEpisodes) -> bool:
    """Whether floats look like classes: whole numbers, the smallest 0, no gap, three or more."""
    return user.y.dtype != np.int64 and whole_from_zero(user.outcomes) > 2


def _label_notes(user: UserEpisodes, y: str, episode: str) -> Iterator[str]:
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
