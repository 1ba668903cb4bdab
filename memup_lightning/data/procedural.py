"""Episodes that are computed when they are read, so that they take no room and may be a million steps long."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.data.episodes import EpisodeSource
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays, IntArray


class ProceduralEpisodes(EpisodeSource):
    """Episodes of which any step can be computed alone. A subclass sets ``fields`` and ``lengths`` and writes
    :meth:`generate`, as a pure function of episode and time: its random numbers come from
    :mod:`memup_lightning.rng`.
    """

    @abstractmethod
    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        """Compute the same number (at least 1) of consecutive steps of many episodes.

        Args:
            episodes: episode of each row, ``[rows]``.
            time: numbers of the steps, rising by 1 along a row, ``[rows, steps]``; some may lie outside the episode, and
                what is returned for them is not used.
            names: the fields that are wanted.

        Returns:
            New arrays ``[rows, steps, *shape]``, of the wanted fields at least.
        """

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        arrays = self.gather(np.array([episode]), np.array([start]), stop - start, list(self.fields))
        return {name: x[0] for name, x in arrays.items()}

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        if not steps:
            return {name: self.empty(name, len(episodes), 0) for name in names}
        time = starts[:, None] + np.arange(steps)
        made = self.generate(episodes, time, names)
        if missing := [name for name in names if name not in made]:
            raise MemUPError(f"{type(self).__name__}.generate returned {', '.join(made)}, but not {', '.join(missing)}")
        out = {name: self._declared(name, np.asarray(made[name])) for name in names}
        outside = (time < 0) | (time >= self.lengths[episodes][:, None])
        if outside.any():
            for name, x in out.items():
                x[outside] = self.fields[name].fill
        return out

    def _declared(self, name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert numbers to the declared dtype; floats do not become whole numbers, which a check refuses."""
        dtype = np.dtype(self.fields[name].dtype)
        return array if array.dtype.kind == "f" and dtype.kind != "f" else array.astype(dtype, copy=False)
