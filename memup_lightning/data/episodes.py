"""Where episodes come from: the one interface that the stream reads, and its implementation over arrays.

Nothing downstream knows whether an episode lies on disk, in arrays, or is computed when read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec as FieldSpec
from memup_lightning.typing import Arrays, IntArray

OUTCOME = "outcome"
"""Field that holds y_k, what the predictor must explain."""
HAS_OUTCOME = "has_outcome"
"""Optional boolean field: False where y_k does not exist (no label at this step, a return cut off by truncation)."""
EVAL_MASK = "eval_mask"
"""Optional boolean field: True at the steps where the dependency ends, at which the memory is evaluated."""


class EpisodeSource(ABC):
    """Episodes that can be read at any place.

    Attributes:
        fields: the named arrays of a step.
        lengths: number of steps of each episode, int64 ``[episodes]``; all >= 1.
    """

    fields: Mapping[str, FieldSpec]
    lengths: IntArray

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def total_steps(self) -> int:
        """Number of steps of all episodes together."""
        return int(self.lengths.sum())

    @abstractmethod
    def read(self, episode: int, start: int, stop: int) -> Arrays:
        """Steps ``start <= t < stop`` of one episode, each field ``[stop - start, *shape]``.

        The caller keeps to ``0 <= start <= stop <= lengths[episode]``.
        """

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        """The same number of steps from many places at once.

        Args:
            episodes: episode of each row, ``[rows]``.
            starts: first step of each row, ``[rows]``; may be negative or past the end.
            steps: number of steps of every row.
            names: the fields to read.

        Returns:
            Each field ``[rows, steps, *shape]``; where a row leaves its episode stands :attr:`Field.fill`.
        """
        out = {name: self.empty(name, len(episodes), steps) for name in names}
        stops = np.minimum(starts + steps, self.lengths[episodes])
        for row, (episode, start, stop) in enumerate(zip(episodes, starts, stops, strict=True)):
            first = max(int(start), 0)
            if stop <= first:
                continue
            part = self.read(int(episode), first, int(stop))
            for name in names:
                out[name][row, first - start : stop - start] = part[name]
        return out

    def empty(self, name: str, rows: int, steps: int) -> npt.NDArray[Any]:
        """An array ``[rows, steps, *shape]`` of the field's :attr:`Field.fill`."""
        field = self.fields[name]
        return np.full((rows, steps, *field.shape), field.fill, field.dtype)


def check_lengths(lengths: Sequence[int] | IntArray) -> IntArray:
    """Episode lengths as int64, refused where there is no episode or an empty one."""
    array = np.asarray(lengths, np.int64)
    if array.size == 0:
        raise MemUPError("there are no episodes; give at least one (num_episodes >= 1)")
    if array.min() < 1:
        where = int(array.argmin())
        raise MemUPError(f"episode {where} has {array[where]} steps; drop empty episodes, each needs at least one step")
    return array


class ArrayEpisodes(EpisodeSource):
    """Episodes in arrays (in memory or memory-mapped), laid end to end.

    Args:
        arrays: each field of all episodes, ``[sum(lengths), *shape]``.
        lengths: number of steps of each episode.
        fields: description of each array; by default a vector field of the array's own shape and dtype.

    Raises:
        MemUPError: an empty episode, arrays whose lengths disagree, an outcome that is not a number.
    """

    def __init__(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        lengths: Sequence[int] | IntArray,
        fields: Mapping[str, FieldSpec] | None = None,
    ) -> None:
        self.lengths = check_lengths(lengths)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.arrays = dict(arrays)
        self.fields = {
            name: (fields or {}).get(name) or FieldSpec(tuple(array.shape[1:]), array.dtype.name)
            for name, array in self.arrays.items()
        }
        for name, array in self.arrays.items():
            if len(array) != self.offsets[-1]:
                raise MemUPError(
                    f"field {name!r} has {len(array)} steps, but the episode lengths add up to {self.offsets[-1]}"
                )
            field = self.fields[name]
            if tuple(array.shape[1:]) != field.shape or array.dtype != np.dtype(field.dtype):
                raise MemUPError(
                    f"field {name!r} is declared {field.dtype}{list(field.shape)} a step, "
                    f"but the array holds {array.dtype}{list(array.shape[1:])}"
                )
        check_outcomes(self.arrays, self.offsets)
        check_classes(self.arrays, self.fields)

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        offset = self.offsets[episode]
        return {name: array[offset + start : offset + stop] for name, array in self.arrays.items()}

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        local = starts[:, None] + np.arange(steps)
        inside = (local >= 0) & (local < self.lengths[episodes][:, None])
        index = np.where(inside, local + self.offsets[episodes][:, None], 0)
        complete = bool(inside.all())
        out = {}
        for name in names:
            out[name] = self.arrays[name].take(index, 0)
            if not complete:
                out[name][~inside] = self.fields[name].fill
        return out


def check_outcomes(arrays: Mapping[str, npt.NDArray[Any]], offsets: IntArray, first_episode: int = 0) -> None:
    """Refuse outcomes that are NaN or infinite where they are said to exist; ``first_episode`` begins at offset 0."""
    outcome = arrays.get(OUTCOME)
    if outcome is None or outcome.dtype.kind != "f":
        return
    bad = ~np.isfinite(outcome.reshape(len(outcome), -1)).all(1)
    if HAS_OUTCOME in arrays:
        bad &= arrays[HAS_OUTCOME]
    if bad.any():
        flat = int(bad.argmax())
        episode = int(np.searchsorted(offsets, flat, side="right")) - 1
        raise MemUPError(
            f"the outcome of episode {first_episode + episode} at step {flat - offsets[episode]} is {outcome[flat]}; "
            f"give finite outcomes, or mark steps without one by {HAS_OUTCOME}=False"
        )


def check_classes(arrays: Mapping[str, npt.NDArray[Any]], fields: Mapping[str, FieldSpec]) -> None:
    """Refuse class numbers outside ``0 <= number < classes``; an outcome counts only where it is said to exist."""
    for name, field in fields.items():
        if field.type != "token" or name not in arrays:
            continue
        array = arrays[name]
        bad = ((array < 0) | (array >= field.classes)).reshape(len(array), -1).any(1)
        if name == OUTCOME and HAS_OUTCOME in arrays:
            bad &= arrays[HAS_OUTCOME]
        if bad.any():
            step = int(bad.argmax())
            raise MemUPError(
                f"field {name!r} is {array[step]} at step {step} of all, but its classes are 0 to {field.classes - 1}; "
                "mend the data, or declare more classes"
            )
