"""What is read from users' files, and where a row of it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.specs import FieldType
from memup_lightning.typing import Arrays, IntArray

Array = npt.NDArray[Any]

TABLE_SUFFIXES = (".parquet", ".arrow", ".feather")


@dataclass(frozen=True)
class Columns:
    """What to read of a file.

    Attributes:
        x: arrays or columns that make up x; several are joined.
        y: array or column of the outcome.
        episode: column of a table that says to which episode a row belongs.
        x_type: ``vector``, ``token`` or ``image``.
        y_type: ``vector`` or ``token``; None: integers and booleans are classes, floats are numbers.
    """

    x: tuple[str, ...]
    y: str
    episode: str
    x_type: FieldType
    y_type: FieldType | None


@dataclass
class UserEpisodes:
    """Episodes as they were given, concatenated.

    Attributes:
        x: ``[steps, ...]``: float32, uint8 (images of bytes) or int64 (class numbers).
        y: ``[steps, ...]``: float32 or int64; 0 where ``flags`` say that there is no outcome.
        lengths: steps of each episode.
        flags: ``has_outcome`` and ``eval_mask`` (bool ``[steps]``), where they are known.
    """

    x: Array
    y: Array
    lengths: IntArray
    flags: Arrays


@dataclass(frozen=True)
class Layout:
    """Which episode and step a row belongs to, for messages.

    Attributes:
        source: the file or function, as messages name it.
        lengths: steps of each episode, whose rows follow each other.
        whole_episodes: whether a row is an episode, not a step.
    """

    source: str
    lengths: IntArray
    whole_episodes: bool = False

    @cached_property
    def offsets(self) -> IntArray:
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def rows(self) -> int:
        return len(self.lengths) if self.whole_episodes else int(self.offsets[-1])

    def place(self, row: int) -> str:
        if self.whole_episodes:
            return f"episode {row}"
        episode = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return f"episode {episode} at step {row - self.offsets[episode]} (row {row})"
