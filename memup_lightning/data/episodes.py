"""Sources of episodes: the interface that the stream reads, its implementation over arrays, and checks of their values.

A reader does not depend on whether an episode is on disk, in arrays, or computed when read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.specs import FieldSpec as FieldSpec
from memup_lightning.typing import Arrays, IntArray
from memup_lightning.user_warnings import option, warn_user

OUTCOME = "outcome"
"""Field of the outcome y_k, which the predictor explains."""
HAS_OUTCOME = "has_outcome"
"""Optional boolean field: False where y_k does not exist (no label at this step, a return cut off by truncation)."""
EVAL_MASK = "eval_mask"
"""Optional boolean field: True at the steps where the dependency ends, at which the memory is evaluated."""
MAX_MAGNITUDE = 1e12
"""Largest magnitude of a number in a field. A gradient holds products of three numbers (a squared error times an input),
and float32 ends at 3.4e38."""
_MAX_STEPS = 1 << 48  # of an episode; sums of lengths stay far from the end of int64


class EpisodeSource(ABC):
    """Episodes of which any steps can be read.

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
        """Read the steps ``start <= t < stop`` of one episode, each field ``[stop - start, *shape]``.

        The caller keeps to ``0 <= start <= stop <= lengths[episode]``.
        """

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        """Read the same number of steps from many places at once.

        Args:
            episodes: episode of each row, ``[rows]``.
            starts: first step of each row, ``[rows]``; may be negative or past the end.
            steps: number of steps of every row.
            names: the fields to read.

        Returns:
            Each field ``[rows, steps, *shape]``, with :attr:`FieldSpec.fill` outside of the episode.
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
        """Make an array ``[rows, steps, *shape]`` of the field's :attr:`FieldSpec.fill`."""
        field = self.fields[name]
        return np.full((rows, steps, *field.shape), field.fill, field.dtype)


class ArrayEpisodes(EpisodeSource):
    """Episodes in arrays (in memory or memory-mapped), concatenated.

    Args:
        arrays: each field of all episodes, ``[sum(lengths), *shape]``.
        lengths: number of steps of each episode.
        fields: description of each array; by default a vector field of the array's own shape and dtype.

    Raises:
        MemUPError: an empty episode, arrays whose lengths disagree, a value outside of its field's range.
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
                    f"field {name!r} has {counted(len(array), 'step')}, but the episode lengths add up to "
                    f"{self.offsets[-1]}"
                )
            field = self.fields[name]
            if tuple(array.shape[1:]) != field.shape or array.dtype != np.dtype(field.dtype):
                raise MemUPError(
                    f"field {name!r} is declared {field.dtype}{list(field.shape)} a step, "
                    f"but the array holds {array.dtype}{list(array.shape[1:])}"
                )
        check_values(self.arrays, self.fields, self.offsets)

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


def check_lengths(lengths: Sequence[int] | npt.NDArray[Any]) -> IntArray:
    """Return episode lengths as int64.

    Args:
        lengths: number of steps of each episode, ``[episodes]``; floats must be whole numbers.

    Raises:
        MemUPError: no episode, an empty one, another shape, anything but whole numbers.
    """
    array = np.asarray(lengths)
    if array.ndim != 1:
        raise MemUPError(f"lengths has shape {list(array.shape)}; give one number for each episode, [episodes]")
    if array.size == 0:
        raise MemUPError("there are no episodes; give at least one")
    if array.dtype.kind not in "iuf":
        raise MemUPError(f"lengths holds {array.dtype}; give the number of steps of each episode")
    bad = ~(array == np.floor(array)) | (np.abs(array) > _MAX_STEPS)
    if bad.any():
        where = int(bad.argmax())
        raise MemUPError(f"the length of episode {where} is {array[where]}; give a whole number of steps")
    array = array.astype(np.int64)
    if array.min() < 1:
        where = int(array.argmin())
        raise MemUPError(f"episode {where} has {array[where]} steps; drop empty episodes, each needs at least one step")
    return array


def warn_of_single_steps(source: EpisodeSource, name: str) -> None:
    """Warn where every episode is one step.

    Args:
        source: episodes.
        name: what they are called in the message.
    """
    if source.lengths.max() == 1:
        warn_user(
            f"{name}: each episode is one step, so there is nothing to remember; give all steps that belong together as "
            f"one episode (of a table, {option('data.episode')} names a column that these rows share)"
        )


def check_values(
    arrays: Mapping[str, npt.NDArray[Any]],
    fields: Mapping[str, FieldSpec],
    offsets: IntArray,
    first_episode: int = 0,
) -> None:
    """Refuse numbers that are not finite or too large, and class numbers outside ``0 <= number < classes``.

    An outcome is checked only where it exists. A field without such values is read twice and not copied.

    Args:
        arrays: each field of some episodes, ``[steps, *shape]``.
        fields: description of each array.
        offsets: first step of each episode in the arrays, and the end of the last one.
        first_episode: number of the first episode.

    Raises:
        MemUPError: naming field, episode, step and value.
    """
    for name, array in arrays.items():
        field = fields[name]
        if field.type == "token":
            lowest, highest = 0.0, field.classes - 1.0
            advice = f"its classes are 0 to {field.classes - 1}: fix the data, or declare more classes"
        elif array.dtype.kind == "f":
            highest = min(MAX_MAGNITUDE, float(np.finfo(array.dtype).max))
            lowest = -highest
            advice = f"give finite numbers of magnitude {highest:g} at most"
        else:
            continue
        if not array.size or (float(array.min()) >= lowest and float(array.max()) <= highest):  # False for NaN
            continue
        bad = ~((array >= lowest) & (array <= highest))
        if name == OUTCOME:
            advice += f", or mark steps without an outcome by {HAS_OUTCOME}=False"
            if HAS_OUTCOME in arrays:
                bad &= arrays[HAS_OUTCOME].reshape(-1, *[1] * len(field.shape))
        if bad.any():
            flat, *component = (int(index[0]) for index in bad.nonzero())
            episode = int(np.searchsorted(offsets, flat, side="right")) - 1
            raise MemUPError(
                f"field {name!r}{component or ''} of episode {first_episode + episode} at step {flat - offsets[episode]} "
                f"is {array[(flat, *component)]!s}; {advice}"
            )
