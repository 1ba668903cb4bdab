"""Reading of a store: any steps of any episodes, in memory that does not grow with it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.data.episodes import EpisodeSource
from memup_lightning.data.store.files import open_file, read_at
from memup_lightning.data.store.format import field_path, read_index, read_meta
from memup_lightning.data.store.verification import Verification, compare
from memup_lightning.data.store.writer import EpisodeWriter
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

_PROCESS_ATTRIBUTES = ("_files", "_lock", "_verification")  # attributes that are not pickled
_MAX_GAP = 4 << 10  # bytes between two rows that are read with them: cheaper than another system call


class EpisodeStore(EpisodeSource):
    """Finished episodes of a store, as they were when it was opened; a writer may append at the same time.

    Slices are read by ``pread``, not through memory maps: the pages of a map count as resident and against an
    address-space limit. Adjacent rows of a gather, such as the chunks of a lane, are read at once.

    From its first read on the content is compared with the checksums of the index, once
    (:class:`~memup_lightning.data.store.verification.Verification`).

    May be pickled into workers: files are opened on the first read of each process.

    Args:
        path: folder of the store.
        first: open only so many episodes, from the beginning; for a store that is damaged after them.

    Raises:
        MemUPError: no store there, an unknown format, a damaged index or meta.json, a truncated field file; when it is
            read, content that does not match its checksum.
    """

    def __init__(self, path: str | os.PathLike[str], first: int | None = None) -> None:
        self._verification: Verification
        self.path = Path(path)
        self.fields = read_meta(self.path)
        records = read_index(self.path, self.fields, first)
        self.offsets, self.lengths = records[:, 0].astype(np.int64), records[:, 1].astype(np.int64)
        self._reset()

    @staticmethod
    def writer(path: str | os.PathLike[str], fields: Mapping[str, FieldSpec], durable: bool = True) -> EpisodeWriter:
        """Open a writer that makes the store or appends to it; see :class:`EpisodeWriter`."""
        return EpisodeWriter(path, fields, durable)

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        rows = self.gather(np.array([episode]), np.array([start]), stop - start, tuple(self.fields))
        return {name: array[0] for name, array in rows.items()}

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        self._verification.check()
        offsets, lengths = self.offsets[episodes], self.lengths[episodes]
        firsts, stops = np.clip(starts, 0, lengths), np.clip(starts + steps, 0, lengths)
        complete = bool((stops - firsts == steps).all())
        there = np.flatnonzero(stops > firsts)
        gap = _MAX_GAP // max(sum(self.fields[name].step_bytes for name in names), 1)
        runs = _Runs((offsets + firsts)[there], (offsets + stops)[there], gap)
        if complete and 2 * len(runs.begins) > len(episodes):  # few rows have a neighbour
            begins, shape = offsets + starts, (len(episodes), steps)
            return {
                name: self._read(name, begins, begins + steps).reshape(*shape, *self.fields[name].shape)
                for name in names
            }
        index = starts[:, None] + np.arange(steps)
        outside = None if complete else (index < 0) | (index >= lengths[:, None])
        shift = np.zeros(len(episodes), np.int64)
        shift[there] = offsets[there] + (runs.places - runs.begins)[runs.of]
        index += shift[:, None]
        if outside is not None:
            if not there.size:
                return {name: self.empty(name, len(episodes), steps) for name in names}
            index[outside] = 0
        out = {}
        for name in names:
            out[name] = self._read(name, runs.begins, runs.ends).take(index, 0)
            if outside is not None:
                out[name][outside] = self.fields[name].fill
        return out

    def _read(self, name: str, begins: IntArray, ends: IntArray) -> npt.NDArray[Any]:
        """Read the steps ``begins[i] <= step < ends[i]`` of a field for every i, concatenated, ``[steps, *shape]``."""
        field, size = self.fields[name], self.fields[name].step_bytes
        with self._lock:
            if name not in self._files:
                self._files[name] = open_file(field_path(self.path, name), os.O_RDONLY)
        file, counts, positions = self._files[name], ((ends - begins) * size).tolist(), (begins * size).tolist()
        content = bytearray().join(map(read_at, repeat(file), counts, positions))
        if len(content) < sum(counts):
            content = bytearray().join(map(self._read_all, repeat(name), counts, positions))
        return np.ndarray((len(content) // size, *field.shape), field.dtype, content)

    def _read_all(self, name: str, count: int, position: int) -> bytes:
        """Read in several calls what a signal cuts short, or more than the 2 GiB that Linux reads at once."""
        parts, end = [], position + count
        while position < end:
            parts.append(read_at(self._files[name], end - position, position))
            if not parts[-1]:
                raise MemUPError(
                    f"{field_path(self.path, name)} ends at byte {position}, but the store was opened with data up to "
                    f"byte {end}: it was truncated since; open the store again"
                )
            position += len(parts[-1])
        return b"".join(parts)

    def verify(self) -> None:
        """Read every byte and compare it with the checksums of the index.

        Raises:
            MemUPError: naming every damaged episode and the field that is damaged in it.
        """
        records = read_index(self.path, self.fields, len(self))
        damaged = [damage for _, found in compare(self.path, self.fields, records) for damage in found]
        if damaged:
            raise MemUPError(
                f"{self.path}: {len(damaged)} checksums do not match: {', '.join(map(str, damaged[:20]))}"
                f"{', ...' if len(damaged) > 20 else ''}; write these episodes again, or copy the others to a new store"
            )

    def close(self) -> None:
        """Close the files and stop the verification. A later read opens and verifies them again."""
        self._verification.stop()
        self._verification = Verification(self.path, self.fields, len(self))
        while self._files:
            os.close(self._files.popitem()[1])

    def __del__(self) -> None:
        if hasattr(self, "_verification"):
            self.close()

    def _reset(self) -> None:
        self._files: dict[str, int] = {}
        self._lock = threading.Lock()
        self._verification = Verification(self.path, self.fields, len(self))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _PROCESS_ATTRIBUTES}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


class _Runs:
    """Ranges of steps, joined where they overlap or are within ``gap`` steps of each other.

    Attributes:
        begins, ends: of the joined ranges.
        places: where each begins when they are concatenated.
        of: the joined range that holds each of the given ones.
    """

    def __init__(self, begins: IntArray, ends: IntArray, gap: int) -> None:
        order = np.argsort(begins, kind="stable")
        ordered, reached = begins[order], np.maximum.accumulate(ends[order])
        opens = np.ones(len(order), np.bool_)
        opens[1:] = ordered[1:] > reached[:-1] + gap
        self.of = np.empty(len(order), np.int64)
        self.of[order] = np.cumsum(opens) - 1
        self.begins, self.ends = ordered[opens], reached[np.append(opens[1:], len(order) > 0)[: len(order)]]
        self.places = np.cumsum(self.ends - self.begins) - (self.ends - self.begins)
