"""GrowingArrays: episodes appended to arrays that grow in place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

_GROWTH = 1.125  # room that is added when an array is full; also the most that is held in vain


class GrowingArrays:
    """Fields of episodes, concatenated while the episodes arrive.

    The arrays grow by ``realloc``, which moves large blocks without a copy on Linux. A list of all episodes and their
    concatenation would take twice the room.

    Args:
        fields: the named arrays of a step.
    """

    def __init__(self, fields: Mapping[str, FieldSpec]) -> None:
        self._arrays: Arrays = {name: np.empty((0, *field.shape), field.dtype) for name, field in fields.items()}
        self._lengths: list[int] = []
        self._steps = 0

    def append(self, episode: Arrays) -> None:
        """Add an episode, each field ``[length, *shape]``."""
        length = len(next(iter(episode.values())))
        stop = self._steps + length
        for name, array in self._arrays.items():
            if stop > len(array):
                array.resize((max(stop, int(_GROWTH * len(array))), *array.shape[1:]), refcheck=False)
            array[self._steps : stop] = episode[name]
        self._lengths.append(length)
        self._steps = stop

    def finish(self) -> tuple[Arrays, IntArray]:
        """Return the fields of all episodes, ``[sum(lengths), *shape]`` each, and the lengths; nothing can follow."""
        for array in self._arrays.values():
            array.resize((self._steps, *array.shape[1:]), refcheck=False)
        return self._arrays, np.array(self._lengths, np.int64)
