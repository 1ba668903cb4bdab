"""Readers of observations: what a user gives for a step, as the fields that the networks read.

The values mean what they meant in training: columns in the same order, text by the same class numbers, missing numbers by
the same means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from memup_lightning.data.array_files.column_checks import SINCE_PREVIOUS, column_of
from memup_lightning.data.array_files.encoding import MISSING, X, text_fields
from memup_lightning.data.array_files.layout import Array, Missing
from memup_lightning.data.episodes import MAX_MAGNITUDE
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.serving.inputs.row_values import is_missing, read_numbers
from memup_lightning.serving.inputs.streams import NO_EPISODE, check_episodes, check_streams
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays
from memup_lightning.user_warnings import warn_user

_FIRST, _SECONDS, _NUMBERS, _EPISODE = (
    "first",
    "seconds",
    "numbers",
    "of_episode",
)  # what a reader keeps of the rows before
_MAX_WARNINGS = 20  # of a reader


class ObservationReader(Protocol):
    """Reader of the observations of one step."""

    def initial(self, streams: int) -> Arrays:
        """Return what is kept of the rows before the first one, each ``[streams, ...]``."""

    def read(self, observation: Any, before: Arrays, single: bool) -> tuple[Arrays, Arrays]:
        """Return the fields ``[streams, ...]``, and what is kept for the next row.

        Args:
            observation: of one stream, or of several with the streams first in every value.
            before: what was kept of the rows before.
            single: whether it is of one stream.

        Raises:
            MemUPError: a missing name, values that cannot be read, another number of streams.
        """


class FieldReader:
    """Reader of fields by their names, for data that are no table.

    Args:
        fields: the fields that are read.
    """

    def __init__(self, fields: Mapping[str, FieldSpec]) -> None:
        self.fields = dict(fields)

    def initial(self, streams: int) -> Arrays:
        return {}

    def read(self, observation: Any, before: Arrays, single: bool) -> tuple[Arrays, Arrays]:
        if not isinstance(observation, Mapping):
            if len(self.fields) > 1:
                raise MemUPError(
                    f"the observation is a {type(observation).__name__}; give a dictionary of {', '.join(self.fields)}"
                )
            observation = {next(iter(self.fields)): observation}
        out: Arrays = {}
        for name, field in self.fields.items():
            if name not in observation:
                raise MemUPError(f"the observation has no {name!r}; it holds {', '.join(map(repr, observation))}")
            array = _array(name, observation[name])
            array = array[None] if single else array
            if array.shape[1:] != field.shape:
                raise MemUPError(
                    f"{name!r} has shape {list(array.shape[1:])} a stream; the model takes {list(field.shape)}"
                )
            out[name] = _checked(name, array, field)
        return out, before


@dataclass
class _Group:
    """Column of numbers and its components of x."""

    name: str
    components: slice
    is_time: bool


class RowReader:
    """Reader of rows of a table, as a mapping from column to value.

    Args:
        fields: of the inputs, with the names of the components of x, the classes of text and the means.
        missing: what replaces a missing number; None: it is refused.
        episode: column that says to which episode a row belongs; a row need not have it.
    """

    def __init__(self, fields: Mapping[str, FieldSpec], missing: Missing | None, episode: str = "episode") -> None:
        self._episode = episode
        self.texts = {
            name: {value: code for code, value in enumerate(field.names)} for name, field in text_fields(fields).items()
        }
        self.x = None if X in self.texts else fields.get(X)
        self.mask = fields.get(MISSING) if MISSING not in self.texts else None
        self.missing = missing
        self.groups: list[_Group] = []
        self.labels = () if self.x is None else _labels(self.x)
        for number, label in enumerate(self.labels):
            name = column_of(label)
            if self.groups and self.groups[-1].name == name:
                self.groups[-1].components = slice(self.groups[-1].components.start, number + 1)
            else:
                self.groups.append(_Group(name, slice(number, number + 1), label.endswith(SINCE_PREVIOUS)))
        self._times = [number for number, group in enumerate(self.groups) if group.is_time]
        widths = {group.components.stop - group.components.start for group in self.groups}
        self._plain = self.x is not None and bool(self.x.names) and not self._times and widths == {1}
        self._means = np.array(self.x.means if self.x is not None and self.x.means else [0.0])
        self._masked = [self.labels.index(name) for name in self.mask.names] if self.mask is not None else []
        self._said: set[str] = set()
        self.columns = [*(group.name for group in self.groups), *self.texts]

    def reads_all(self, fields: Mapping[str, FieldSpec]) -> bool:
        """Return whether this reader makes all of these fields: it reads no class numbers and no images."""
        numbers = self.x is None or (self.x.type == "vector" and self.x.dtype.startswith("float"))
        return numbers and not fields.keys() - self.texts.keys() - {X, MISSING}

    def initial(self, streams: int) -> Arrays:
        kept: Arrays = {_EPISODE: np.full(streams, NO_EPISODE, np.int64)}
        if self._times:
            kept[_FIRST] = np.ones(streams, np.bool_)
            kept[_SECONDS] = np.zeros((streams, len(self._times)))
        if self.missing == "previous":
            if self.x is not None:
                kept[_NUMBERS] = np.full((streams, len(self.labels)), np.nan)
            kept |= {name: np.full(streams, -1) for name in self.texts}
        return kept

    def read(self, observation: Any, before: Arrays, single: bool) -> tuple[Arrays, Arrays]:
        if not isinstance(observation, Mapping):
            if len(self.columns) > 1:
                raise MemUPError(
                    f"the row is a {type(observation).__name__}; give a dictionary of the columns "
                    f"{', '.join(self.columns)}"
                )
            observation = {self.columns[0]: observation}
        after = dict(before)
        after[_EPISODE] = check_episodes(observation, self._episode, before[_EPISODE], single)
        fields: Arrays = {}
        try:
            if self.groups:
                fields |= self._read_numbers(observation, before, after, single)
            for name, classes in self.texts.items():
                fields[name] = self._read_text(name, classes, observation[name], before, after, single)
        except KeyError as error:
            if not (absent := [name for name in self.columns if name not in observation]):
                raise
            raise MemUPError(
                f"the row has no {absent[0]!r}; give the columns {', '.join(self.columns)} (None where one is missing)"
            ) from error
        return fields, after

    def _read_numbers(self, row: Mapping[str, Any], before: Arrays, after: Arrays, single: bool) -> Arrays:
        assert self.x is not None
        if single and (numbers := self._usual_numbers(row)) is not None:
            out: Arrays = {X: np.array([numbers], np.float32).reshape(1, *self.x.shape)}
            if self.mask is not None:
                out[MISSING] = np.zeros((1, len(self._masked)), np.float32)
            if self.missing == "previous":
                after[_NUMBERS] = np.array([numbers])
            return out
        if single and self._plain:  # for one stream the fixed cost of arrays counts
            values = np.empty((1, len(self.groups)))
            for number, group in enumerate(self.groups):
                value = row[group.name]
                try:
                    values[0, number] = math.nan if value is None else value + 0.0  # not of text
                except (TypeError, ValueError):
                    values[0, number] = read_numbers(group.name, [value], False)[0, 0]
        else:
            for group in () if single else self.groups:
                check_streams(group.name, row[group.name], len(before[_EPISODE]))
            parts = [read_numbers(g.name, [row[g.name]] if single else row[g.name], g.is_time) for g in self.groups]
            for group, part in zip(self.groups, parts, strict=True):
                width = group.components.stop - group.components.start
                if part.shape[1] != width:
                    raise MemUPError(
                        f"{group.name!r} holds {list(part.shape)} numbers; give {width} for each of "
                        f"{counted(len(part), 'stream')}"
                    )
            for place, number in enumerate(self._times):
                seconds = parts[number][:, 0]
                if (seconds < before[_SECONDS][:, place])[~before[_FIRST]].any():
                    self._warn_once(
                        f"{self.groups[number].name!r} goes back in time: give the rows of a stream in the order of time, "
                        "or begin a new one"
                    )
                parts[number] = np.where(before[_FIRST], 0, seconds - before[_SECONDS][:, place])[:, None]
                after[_SECONDS] = after[_SECONDS].copy()
                after[_SECONDS][:, place] = seconds
            if self._times:
                after[_FIRST] = np.zeros_like(before[_FIRST])
            values = np.concatenate(parts, 1)
        absent = np.isnan(values)
        some = bool(absent.any())
        if some and self.missing is None:
            column = self.labels[int(absent.any(0).argmax())]
            raise MemUPError(f"{column!r} is missing; the model was trained without missing numbers: give a number")
        out = {}
        if self.mask is not None:
            out[MISSING] = absent[:, self._masked].astype(np.float32)
        if self.missing == "previous":
            after[_NUMBERS] = values = np.where(absent, before[_NUMBERS], values)
        if some:
            values = np.where(np.isnan(values), self._means, values)
        if not np.abs(values).max() <= MAX_MAGNITUDE:
            column = self.labels[int((~(np.abs(values) <= MAX_MAGNITUDE)).any(0).argmax())]
            raise MemUPError(f"{column!r} is no finite number of magnitude {MAX_MAGNITUDE:g} at most; correct it")
        out[X] = values.astype(np.float32).reshape(len(values), *self.x.shape)
        return out

    def _usual_numbers(self, row: Mapping[str, Any]) -> list[float] | None:
        """Return the numbers of one stream's row; None where one is missing or out of range. No arrays are made, whose
        cost would be most of it."""
        if not self._plain:
            return None
        try:
            numbers = [float(row[group.name] + 0.0) for group in self.groups]  # a text cannot be added to
        except (TypeError, ValueError):
            return None
        return numbers if all(-MAX_MAGNITUDE <= x <= MAX_MAGNITUDE for x in numbers) else None  # not NaN

    def _read_text(
        self, name: str, classes: dict[str, int], given: Any, before: Arrays, after: Arrays, single: bool
    ) -> Array:
        if single and type(given) is str and (code := classes.get(given)) is not None:
            known = np.array([code])
            if self.missing == "previous":
                after[name] = known
            return known
        if not single:
            check_streams(name, given, len(before[_EPISODE]))
        values = [given] if single else list(given)
        codes = np.array([-1 if is_missing(value) else classes.get(str(value), len(classes)) for value in values])
        for number in np.flatnonzero(codes == len(classes)):
            self._warn_once(
                f"{name!r} has a value that the training episodes do not have, which counts as unknown: "
                f"{values[number]!r:.80}"
            )
        if self.missing is None and (codes < 0).any():
            raise MemUPError(f"{name!r} is missing; the model was trained without missing values: give a text")
        if self.missing == "previous":
            codes = np.where(codes < 0, before[name], codes)
            after[name] = codes
        return np.where(codes < 0, len(classes), codes)

    def _warn_once(self, sentence: str) -> None:
        """Warn of what a service should not be silent about, nor say at every row."""
        if sentence not in self._said and len(self._said) < _MAX_WARNINGS:
            self._said.add(sentence)
            warn_user(sentence)


def _labels(x: FieldSpec) -> tuple[str, ...]:
    """Return the names of the components of x, also where they are those of one array."""
    size = math.prod(x.shape)
    if len(x.names) == size:
        return x.names
    return tuple(f"{x.names[0] if x.names else X}[{number}]" for number in range(size))


def _array(name: str, value: Any) -> Array:
    try:
        array: Array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise MemUPError(f"{name!r} is no array ({error}); give numbers of one shape") from error
    if array.dtype.kind not in "iufb":
        raise MemUPError(f"{name!r} holds {array.dtype}; give numbers")
    return array


def _checked(name: str, array: Array, field: FieldSpec) -> Array:
    """Return the values in the dtype of their field."""
    low, high = (field.fill, field.classes - 1) if field.type == "token" else (-MAX_MAGNITUDE, MAX_MAGNITUDE)
    if array.size and not (array.min() >= low and array.max() <= high):
        raise MemUPError(f"{name!r} holds numbers outside of {low:g} to {high:g}; correct them")
    return array.astype("float32" if field.dtype.startswith("float") else field.dtype, copy=False)
