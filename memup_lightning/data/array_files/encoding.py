"""Fields of episodes from what users gave: vocabularies and means of the training episodes, applied to all splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from memup_lightning.data.array_files.column_checks import check_columns, check_shape, column_of
from memup_lightning.data.array_files.layout import Array, Missing, TextColumn, UserEpisodes
from memup_lightning.data.array_files.notes.leaving_out import how_to_leave_out
from memup_lightning.data.array_files.notes.spellings import spelling_notes
from memup_lightning.data.array_files.notes.text_values import (
    as_numbers,
    stand_for_missing,
    words_among_numbers,
    written_number,
    written_times,
)
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, BoolArray, IntArray
from memup_lightning.user_warnings import option

X = "x"
"""Field of the numbers that the memory reads."""
MISSING = "missing"
"""Field that is 1 where a number of x was missing."""
_ID_VALUES = 20  # from so many values on, a column may be an id
_MANY_VALUES, _FEW_ROWS = 500, 20  # a column of so many values, with fewer rows each, is pointed out
_SELDOM = 0.1  # share of the steps; what is known at fewer is pointed out
_NUMBERS = 10  # values of a column with words among them, from which on numbers are meant
_SHOWN = 5  # values or classes of a column in a message


def fit_texts(source: str, user: UserEpisodes, training: BoolArray, named: bool) -> dict[str, FieldSpec]:
    """Make the fields of the columns of text: a class for each value of the training episodes, and one for others.

    A column that has another value nearly each time that it changes is an id, and no input: it is taken out of
    ``user.texts``, with a note. One of very many values with few rows each is kept, and pointed out.

    Args:
        source: the file, for messages.
        user: what was read.
        training: steps of the training episodes, ``[steps]``.
        named: whether the user named the columns.

    Raises:
        MemUPError: a column that the user named is an id, or has the name of another field; a column of numbers that
            are written as text, or have words among them.
    """
    fields: dict[str, FieldSpec] = {}
    left_out: list[str] = []
    begins = np.zeros(max(0, len(training) - 1), np.bool_)  # of each step but the first: whether it begins an episode
    begins[np.cumsum(user.lengths)[:-1] - 1] = True
    for name, text in list(user.texts.items()):
        changes = 1 + int(np.count_nonzero((np.diff(text.codes) != 0) | begins))
        if len(text.values) >= max(_ID_VALUES, changes / 2):
            if words := words_among_numbers(text.values):
                raise MemUPError(
                    f"{source}: {name!r} is read as text, since it holds {', '.join(map(repr, words[:_SHOWN]))} among "
                    f"numbers; leave such entries empty (and set {option('data.missing', 'mask')}), or write them as "
                    f"numbers (pandas: {as_numbers(name, text.values)})"
                )
            if shown := written_number(text.values):
                raise MemUPError(
                    f"{source}: {name!r} is read as text, since its numbers are written as text, such as {shown!r}; write "
                    f"them as numbers, with a point alone and without a unit (pandas: {as_numbers(name, text.values)}), or "
                    "name in x the columns that the memory reads"
                )
            found = f"{name!r} has {len(text.values)} values, and nearly each time another one, as an id has"
            if times := written_times(name, text.values):
                found = f"{name!r} holds {times}, of which the seconds since the row before are read"
            if named:
                raise MemUPError(f"{source}: {found}; {'or ' * bool(times)}leave it out of x")
            left_out.append(found)
            user.notes.append(f"{found}: it is left out of x")
            del user.texts[name]
            user.columns = tuple(column for column in user.columns if column != name)
            continue
        if name in (OUTCOME, HAS_OUTCOME, EVAL_MASK, MISSING) or (name == X and user.x is not None):
            raise MemUPError(f"{source}: {name!r} holds text, and is the name of another field; rename the column")
        occurring = np.bincount(text.codes[training] + 1, minlength=len(text.values) + 1)[1:] > 0
        names = tuple(sorted(value for value, occurs in zip(text.values, occurring, strict=True) if occurs))
        if not names:
            raise MemUPError(f"{source}: {name!r} is empty at every step of the training episodes; leave it out of x")
        user.notes += spelling_notes(name, names)
        words = words_among_numbers(names)
        known = set(words)
        if shown := written_number([value for value in names if value not in known]):
            among = f", and {', '.join(map(repr, words[:_SHOWN]))} among them" if words else ""
            user.notes.append(
                f"{name!r} holds numbers as text, such as {shown!r}{among}, which are read as categories; write them as "
                f"numbers, if numbers are meant (pandas: {as_numbers(name, names)})"
            )
        elif words and (len(names) - len(words) >= _NUMBERS or all(stand_for_missing(word) for word in words)):
            user.notes.append(
                f"{name!r} holds {', '.join(map(repr, words[:_SHOWN]))} among numbers, so all of them are read as "
                f"categories; if numbers are meant, leave such entries empty (and set {option('data.missing', 'mask')}; "
                f"pandas: {as_numbers(name, names)})"
            )
        if len(names) > 1 and (times := written_times(name, names)):
            user.notes.append(f"{name!r} holds {times}; as it is, each text is read as a category")
        rows = int(np.count_nonzero(text.codes[training] >= 0))
        if len(names) >= _MANY_VALUES and rows < _FEW_ROWS * len(names):
            user.notes.append(
                f"{name!r} has {len(names):,} values in {rows:,} rows, some {rows / len(names):.0f} rows each: each value "
                "has weights of its own, which cost time and memory and learn little from so few rows; leave it out of x, "
                "or group it"
            )
        fields[name] = FieldSpec((), "int64", "token", len(names) + 1, names)
    if user.x is None and not fields:
        why = "".join(f"; {found}" for found in left_out[:_SHOWN])
        raise MemUPError(f"{source} holds no column that the memory could read{why}; name the columns of x")
    return fields


def fit_missing(
    source: str, user: UserEpisodes, training: BoolArray, named: bool
) -> tuple[FieldSpec | None, tuple[float, ...]]:
    """Make the field of missing numbers, which has a component for each of x that misses any in the training episodes.

    A column that is missing nearly always, and that the user did not name, is pointed out by a note.

    Returns:
        The field, None where no number is missing; the mean of each component of x.

    Raises:
        MemUPError: a component is missing in all training episodes.
    """
    means, names = [], []
    for name, column in user.components():
        values = column[training].astype(np.float64)
        there = ~np.isnan(values)
        if not there.any():
            how = how_to_leave_out(user, [name])
            raise MemUPError(
                f"{source}: {name!r} is missing at every step of the training episodes; leave it out of x{how}"
            )
        means.append(float(values[there].mean()))
        if not there.all():
            names.append(name)
        if there.mean() < _SELDOM and not named:
            user.notes.append(
                f"{name!r} is an input, and missing at {1 - there.mean():.1%} of the steps; if it is an outcome too, or is "
                f"known only afterwards, leave it out of x{how_to_leave_out(user, [name])}"
            )
    return (FieldSpec((len(names),), names=tuple(names)) if names else None), tuple(means)


def encode(
    source: str, user: UserEpisodes, fields: Mapping[str, FieldSpec], how: Missing | None
) -> tuple[Arrays, list[str]]:
    """Convert what was read to the arrays of the fields. What was read is used up: arrays are changed in place.

    Args:
        source: the file, for messages.
        user: what was read.
        fields: of the training episodes: inputs and the outcome.
        how: what replaces a missing number of x.

    Returns:
        The arrays ``[steps, ...]`` of the inputs, of the outcome and of the flags; notes for the user.

    Raises:
        MemUPError: columns of other names or contents than in training, an outcome that is none of its classes.
    """
    arrays, notes = encode_inputs(source, user, fields, how)
    arrays[HAS_OUTCOME] = user.has_outcome
    arrays[OUTCOME] = _encode_outcome(source, user, fields[OUTCOME], arrays[HAS_OUTCOME])
    if EVAL_MASK in user.flags:
        arrays[EVAL_MASK] = user.flags[EVAL_MASK]
    return arrays, notes


def encode_inputs(
    source: str, user: UserEpisodes, fields: Mapping[str, FieldSpec], how: Missing | None
) -> tuple[Arrays, list[str]]:
    """Convert what was read of x to the arrays of the inputs; arguments and errors are those of :func:`encode`."""
    notes: list[str] = []
    arrays: Arrays = {}
    texts = text_fields(fields)
    check_columns(source, user, fields[X] if X in fields and X not in texts else None, texts)
    if user.x is not None:
        if fields[X].means:
            if MISSING in fields:
                arrays[MISSING] = np.zeros((len(user.x), *fields[MISSING].shape), np.float32)
            notes += _fill(user, fields, arrays.get(MISSING), how)
        arrays[X] = user.x.astype(fields[X].dtype, copy=False)  # images of bytes in one split, of floats in another
    for name, field in texts.items():
        arrays[name] = _encode_text(name, user.texts[name], field, how, user.lengths, notes)
    return arrays, notes


def text_fields(fields: Mapping[str, FieldSpec]) -> dict[str, FieldSpec]:
    """Return those fields of the inputs that were columns of text."""
    return {name: field for name, field in fields.items() if name != OUTCOME and field.type == "token" and field.names}


def columns_of(fields: Mapping[str, FieldSpec]) -> tuple[str, ...] | None:
    """Return the columns that the inputs of a task were read from; None where the task does not name them."""
    if X in fields and not fields[X].names:
        return None
    names = map(column_of, fields[X].names if X in fields else ())
    return tuple(dict.fromkeys([*names, *text_fields(fields)])) or None


def _fill(
    user: UserEpisodes, fields: Mapping[str, FieldSpec], mask: Array | None, how: Missing | None
) -> Iterator[str]:
    """Replace the missing numbers of x in place, and say in the mask where they were; yield notes."""
    masked = fields[MISSING].names if MISSING in fields else ()
    for (name, column), mean in zip(user.components(), fields[X].means, strict=True):
        missing = np.isnan(column)
        if not missing.any():
            continue
        if mask is not None and name in masked:
            mask[:, masked.index(name)] = missing
        else:
            yield (
                f"{name!r} is missing at {counted(missing.sum(), 'step')}, but at none of the training episodes: the "
                "model has not learned what that means"
            )
        if how == "previous":
            column[:] = column[_last_known(missing, user.lengths)]
        column[np.isnan(column)] = mean


def _encode_text(
    name: str, text: TextColumn, field: FieldSpec, how: Missing | None, lengths: IntArray, notes: list[str]
) -> IntArray:
    """Return the class of each step: those of the training episodes, else the last one."""
    number = {value: code for code, value in enumerate(field.names)}
    unknown = len(field.names)
    if how == "previous":
        text.codes = text.codes[_last_known(text.codes < 0, lengths)]
    new = [value for value in text.values if value not in number]
    if new:
        shown = ", ".join(map(repr, new[:_SHOWN])) + (", ..." if len(new) > _SHOWN else "")
        notes.append(f"{name!r} has values that the training episodes do not have, which count as unknown: {shown}")
    lookup = np.array([*(number.get(value, unknown) for value in text.values), unknown])
    return np.take(lookup, text.codes, out=text.codes, mode="wrap")  # -1 is the last one


def _encode_outcome(source: str, user: UserEpisodes, field: FieldSpec, exists: BoolArray) -> Array:
    """Return the outcomes; classes that have names by the numbers that they have in training."""
    if not exists.any():
        return np.zeros((len(user.y), *field.shape), field.dtype)
    check_shape(source, "y", user.y, field)
    if user.y_names == field.names:
        return user.y.astype(field.dtype, copy=False)
    if not field.names or not user.y_names:
        here, there = ("text", "numbers") if user.y_names else ("numbers", "text")
        raise MemUPError(f"{source}: y holds {here}, but {there} in the training data; give outcomes of one type")
    if new := [name for name in user.y_names if name not in field.names]:
        raise MemUPError(
            f"{source}: y is {new[0]!r} at some steps, which is none of the classes of the training data "
            f"({', '.join(field.names)}); leave y empty there, or train on episodes that have it"
        )
    known: Array = np.array([field.names.index(name) for name in user.y_names])[user.y]
    return known


def _last_known(missing: BoolArray, lengths: IntArray) -> IntArray:
    """Return for each step the last one of the episode so far at which a value is known; else its first step."""
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    last = np.where(missing, 0, np.arange(len(missing)))
    return np.maximum(np.maximum.accumulate(last), starts)
