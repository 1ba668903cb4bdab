"""Reading a store: any steps of any episodes, in memory that does not grow with it."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.data.episodes import EpisodeSource
from memup_lightning.data.store.format import as_bytes, field_path, read_index, read_meta
from memup_lightning.data.store.writer import EpisodeWriter
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

_GAP = 4 << 10  # bytes between two rows that are read with them: cheaper than another system call
_BLOCK = 4 << 20  # bytes that verify() holds at a time


class EpisodeStore(EpisodeSource):
    """The finished episodes of a store, as they were when it was opened; a writer may append meanwhile.

    Slices are read by ``pread``, not through memory maps: the pages of a map count as resident and against an
    address-space limit. Rows of a gather that lie beside each other, such as the chunks of a lane, are read at once.

    May be pickled into workers: files are opened on the first read of each process.

    Args:
        path: folder of the store.
        first: open only so many episodes, from the beginning; what to do with a store that is damaged further on.

    Raises:
        MemUPError: no store there, an unknown format, a damaged index or meta.json, a truncated field file.
    """

    def __init__(self, path: str | os.PathLike[str], first: int | None = None) -> None:
        self._reset()
        self.path = Path(path)
        self.fields = read_meta(self.path)
        records = read_index(self.path, self.fields, first)
        self.offsets, self.lengths = records[:, 0].astype(np.int64), records[:, 1].astype(np.int64)

    @staticmethod
    def writer(path: str | os.PathLike[str], fields: Mapping[str, FieldSpec], durable: bool = True) -> EpisodeWriter:
        """A writer that makes the store or appends to it; see :class:`EpisodeWriter`."""
        return EpisodeWriter(path, fields, durable)

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        rows = self.gather(np.array([episode]), np.array([start]), stop - start, tuple(self.fields))
        return {name: array[0] for name, array in rows.items()}

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        offsets, lengths = self.offsets[episodes], self.lengths[episodes]
        firsts, stops = np.clip(starts, 0, lengths), np.clip(starts + steps, 0, lengths)
        complete = bool((stops - firsts == steps).all())
        there = np.flatnonzero(stops > firsts)
        gap = _GAP // max(sum(self.fields[name].step_bytes for name in names), 1)
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
        """The steps ``begins[i] <= step < ends[i]`` of a field for every i, end to end, ``[steps, *shape]``."""
        field, size = self.fields[name], self.fields[name].step_bytes
        with self._lock:
            if name not in self._files:
                self._files[name] = os.open(field_path(self.path, name), os.O_RDONLY)
        file, counts, positions = self._files[name], ((ends - begins) * size).tolist(), (begins * size).tolist()
        content = bytearray().join(map(os.pread, repeat(file), counts, positions))
        if len(content) < sum(counts):
            content = bytearray().join(map(self._read_all, repeat(name), counts, positions))
        return np.ndarray((len(content) // size, *field.shape), field.dtype, content)

    def _read_all(self, name: str, count: int, position: int) -> bytes:
        """For reads that a signal cuts short, or that are longer than the 2 GiB which Linux reads at once."""
        parts, end = [], position + count
        while position < end:
            parts.append(os.pread(self._files[name], end - position, position))
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
        damaged = []
        for episode, record in enumerate(read_index(self.path, self.fields, len(self)).tolist()):
            for name, expected in zip(self.fields, record[2:-1], strict=True):
                size, crc = self.fields[name].step_bytes, 0
                begin, end = record[0], record[0] + record[1]
                at_once = max(1, _BLOCK // size)
                for step in range(begin, end, at_once):
                    block = self._read(name, np.array([step]), np.array([min(step + at_once, end)]))
                    crc = zlib.crc32(as_bytes(block), crc)
                if crc != expected:
                    damaged.append(f"episode {episode} (field {name!r}, bytes {begin * size} to {end * size})")
        if damaged:
            raise MemUPError(
                f"{self.path}: {len(damaged)} checksums do not match: {', '.join(damaged[:20])}"
                f"{', ...' if len(damaged) > 20 else ''}; write these episodes again, or copy the others to a new store"
            )

    def close(self) -> None:
        """Close the files. A later read opens them again."""
        while self._files:
            os.close(self._files.popitem()[1])

    def __del__(self) -> None:
        if hasattr(self, "_files"):
            self.close()

    def _reset(self) -> None:
        self._files: dict[str, int] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_files", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


class _Runs:
    """Ranges of steps, joined where they overlap or lie within ``gap`` steps of each other.

    Attributes:
        begins, ends: of the joined ranges.
        places: where each stands when they are laid end to end.
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
