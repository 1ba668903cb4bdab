"""What is read from users' files, and where a row of it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from memup_lightning.data.episodes import HAS_OUTCOME
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldType
from memup_lightning.typing import Arrays, BoolArray, IntArray
from memup_lightning.user_warnings import option, warn_user

Array = npt.NDArray[Any]
Missing: TypeAlias = Literal["mask", "previous"]

TABLE_SUFFIXES = (".parquet", ".arrow", ".feather", ".csv")


@dataclass(frozen=True)
class Columns:
    """What to read of a file.

    Attributes:
        x: arrays or columns that make up x; several are joined. None: all columns of a table that are nothing else, the
            array ``x`` of an npz file.
        y: array or column of the outcome; None, with ``may_lack_y``: no outcome is read.
        y_parts: columns of a table that are joined to y, where it is several.
        episode: column of a table that says to which episode a row belongs.
        x_type: of the columns of numbers, ``vector``, ``token`` or ``image``.
        y_type: ``vector`` or ``token``; None: integers and booleans are classes, floats are numbers.
        time: column of a table that its rows are sorted by, within an episode.
        missing: whether numbers of x may be missing; they are kept as NaN.
        may_lack_y: whether the file may have no outcome at all, as one that is predicted.
    """

    x: tuple[str, ...] | None
    y: str | None
    episode: str
    x_type: FieldType
    y_type: FieldType | None
    time: str | None = None
    missing: bool = False
    may_lack_y: bool = False
    y_parts: tuple[str, ...] = ()


def outcome_columns(y: str | list[str]) -> tuple[str, tuple[str, ...]]:
    """Return the name of the outcome, and the columns that it is joined from, where they are several.

    Raises:
        MemUPError: no column, or one twice.
    """
    if isinstance(y, str):
        return y, ()
    if not y or len(set(y)) < len(y):
        raise MemUPError(f"y={y}: name at least one column of the outcome, and each once")
    return ", ".join(y), tuple(y) if len(y) > 1 else ()


def input_columns(x: Sequence[str] | None, y: Sequence[str], episode: str) -> tuple[str, ...] | None:
    """Return the names of the arrays or columns of x; None where none are given.

    Args:
        x: as the user gave them.
        y: those of the outcome.
        episode: column that says to which episode a row belongs, for the message.

    Raises:
        MemUPError: an empty list, or the outcome is among them.
    """
    if x is None:
        return None
    if not x:
        raise MemUPError("x=[] names no array or column; name those that the memory reads")
    for name in x:
        if name in y:
            raise MemUPError(
                f"x={list(x)} names {name!r}, which is the outcome (y): the memory and the local context would read what "
                "is to be predicted; leave it out of x, or give one that holds the value of the step before (pandas: "
                f"table['last_{name}'] = table.groupby({episode!r})[{name!r}].shift(), with "
                f"{option('data.missing', 'mask')})"
            )
    if episode in x:
        warn_user(
            f"x={list(x)} names {episode!r}, the column that says to which episode a row belongs: it has another value in "
            "each episode, by which those of training are memorized; leave it out of x"
        )
    return tuple(x)


@dataclass
class TextColumn:
    """A column of text or of categories.

    Attributes:
        codes: int64 ``[steps]``, the number of each step's value in ``values``; -1 where it is missing.
        values: the values that occur, each once.
    """

    codes: IntArray
    values: list[str]


@dataclass
class UserEpisodes:
    """Episodes as they were given, concatenated.

    Attributes:
        x: ``[steps, ...]``: float32 (NaN where a number is missing), uint8 (images of bytes) or int64 (class numbers);
            None where all columns hold text.
        y: ``[steps, ...]``: float32 or int64; 0 where ``flags`` say that there is no outcome.
        lengths: steps of each episode.
        flags: ``has_outcome`` and ``eval_mask`` (bool ``[steps]``), where they are known.
        columns: those of a table that x and texts were read from.
        arrays: those that x was read from, where it is no table's.
        x_names: of the components of x, after the columns that it was joined from; empty where x is no table's.
        texts: columns of x that hold text.
        y_names: the classes in the order of their numbers, where they are text.
        keys: value of the episode column of each episode; empty where there is none.
        order: row of the file of each step, ``[steps]``; None: they are in the file's order.
        notes: what was decided while reading, for the user: a sentence each, without the name of the source.
    """

    x: Array | None
    y: Array
    lengths: IntArray
    flags: Arrays
    columns: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    x_names: tuple[str, ...] = ()
    texts: dict[str, TextColumn] = field(default_factory=dict)
    y_names: tuple[str, ...] = ()
    keys: list[str] = field(default_factory=list)
    order: IntArray | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def has_outcome(self) -> BoolArray:
        """Which steps have an outcome, ``[steps]``."""
        exists: BoolArray = self.flags.get(HAS_OUTCOME, np.ones(len(self.y), np.bool_))
        return exists

    @property
    def outcomes(self) -> Array:
        """The outcomes that exist, ``[outcomes, ...]``."""
        exists = self.flags.get(HAS_OUTCOME)
        return self.y if exists is None or exists.all() else self.y[exists]

    @property
    def num_outcomes(self) -> int:
        """Number of steps that have an outcome."""
        return int(self.has_outcome.sum())

    def components(self) -> list[tuple[str, Array]]:
        """Return name and values of each component of x, views ``[steps]``."""
        if self.x is None:
            return []
        columns = self.x.reshape(len(self.x), math.prod(self.x.shape[1:])).T
        return [(self.x_names[n] if self.x_names else f"x[{n}]", column) for n, column in enumerate(columns)]


@dataclass(frozen=True)
class Layout:
    """Which episode and step a row belongs to.

    Attributes:
        source: the file or function, as messages name it.
        lengths: steps of each episode.
        whole_episodes: whether a row is an episode, not a step.
        order: row of the file of each step of the concatenated episodes, ``[steps]``; None: they are in the file's order.
        keys: the user's own names of the episodes; empty: they are numbered.
    """

    source: str
    lengths: IntArray
    whole_episodes: bool = False
    order: IntArray | None = None
    keys: Sequence[str] = ()

    @cached_property
    def offsets(self) -> IntArray:
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def _steps(self) -> IntArray | None:
        """Number of each row of the file among the steps of the concatenated episodes."""
        return None if self.order is None else np.argsort(self.order)

    @property
    def rows(self) -> int:
        return len(self.lengths) if self.whole_episodes else int(self.offsets[-1])

    def group(self, array: Array) -> Array:
        """Return an array ``[rows, ...]``, which is in the order of the file, in the order of the episodes' steps."""
        return array if self.order is None else array[self.order]

    def place(self, row: int) -> str:
        """Say where a row of the file belongs."""
        if self.whole_episodes:
            return f"episode {row}"
        step = row if self._steps is None else int(self._steps[row])
        episode = int(np.searchsorted(self.offsets, step, side="right")) - 1
        name = self.keys[episode] if self.keys else episode
        return f"episode {name} at step {step - self.offsets[episode]} (row {row})"
