"""Comparison of the fields of a store with the checksums in its index."""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memup_lightning.data.store.files import open_file, read_at
from memup_lightning.data.store.format import field_path, read_records
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec

_BLOCK = 1 << 20  # bytes that are read at once
_FIRST_BYTES = 64 << 20  # bytes that are compared before the first read of a store: a fraction of a second
_CORE_SHARE = 0.02  # of a core, for the rest


class Damage(NamedTuple):
    """A field of an episode that is not what was written, and its bytes in the file."""

    episode: int
    field: str
    file: Path
    begin: int
    end: int

    def __str__(self) -> str:
        return f"field {self.field!r} of episode {self.episode} (bytes {self.begin} to {self.end} of {self.file})"


def compare(
    path: Path, fields: Mapping[str, FieldSpec], records: npt.NDArray[np.uint64]
) -> Iterator[tuple[int, list[Damage]]]:
    """Read the fields of some episodes, block by block.

    Args:
        path: folder of the store.
        fields: its fields.
        records: of the episodes, from the first one on.

    Yields:
        The bytes of a block, and the damage found in the episodes that end in it.
    """
    ends = np.cumsum(records[:, 1]).astype(np.int64)
    for number, (name, field) in enumerate(fields.items()):
        file_path, stops, expected = field_path(path, name), ends * field.step_bytes, records[:, 2 + number]
        file = open_file(file_path, os.O_RDONLY)
        try:
            position = episode = crc = 0
            size = int(stops[-1]) if len(stops) else 0
            while position < size:
                block = memoryview(read_at(file, min(_BLOCK, size - position), position))
                found, begin = [], position
                position += len(block)
                if not block:  # truncated since the store was opened
                    yield 0, [Damage(episode, name, file_path, position, size)]
                    break
                while begin < position:
                    end = min(int(stops[episode]), position)
                    crc = zlib.crc32(block[begin - position + len(block) : end - position + len(block)], crc)
                    if end == stops[episode]:
                        if crc != expected[episode]:
                            first = int(stops[episode - 1]) if episode else 0
                            found.append(Damage(episode, name, file_path, first, end))
                        episode, crc = episode + 1, 0
                    begin = end
                yield len(block), found
        finally:
            os.close(file)


class Verification:
    """Compares a store with its checksums once, from its first use on.

    The first 64 MB are compared before anything is read. A thread compares the rest while the store is in use; it takes
    2% of a core. Damage is reported by the next read. A forked process leaves the rest to
    its parent.

    Args:
        path: folder of the store.
        fields: its fields.
        episodes: number of episodes that were opened.
    """

    def __init__(self, path: Path, fields: Mapping[str, FieldSpec], episodes: int) -> None:
        self.path, self.fields, self.episodes = path, fields, episodes
        self.done = False
        self._started = False
        self._damage: Damage | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def check(self) -> None:
        """Begin at the first call; refuse a store in which damage was found."""
        if not self._started:
            with self._lock:
                if not self._started:
                    self._begin()
                    self._started = True
        if self._damage is not None:
            raise MemUPError(
                f"{self.path} is damaged: {self._damage} does not match its checksum; restore the store from a copy, or "
                f"make it again (a cache: remove the folder); EpisodeStore(path, first={self._damage.episode}) opens the "
                "episodes before it"
            )

    def stop(self) -> None:
        """End the thread, where there is one."""
        self._stop.set()

    def _begin(self) -> None:
        blocks = compare(self.path, self.fields, read_records(self.path, self.fields)[: self.episodes])
        read = 0
        while read < _FIRST_BYTES and self._damage is None and not self.done:
            read += self._next(blocks)
        if self._damage is None and not self.done:
            threading.Thread(target=self._rest, args=(blocks,), name="verify episodes", daemon=True).start()

    def _rest(self, blocks: Iterator[tuple[int, list[Damage]]]) -> None:
        pause = 0.0
        while not (self.done or self._damage or self._stop.wait(pause)):
            begin = time.perf_counter()
            self._next(blocks)
            pause = (time.perf_counter() - begin) * (1 / _CORE_SHARE - 1)

    def _next(self, blocks: Iterator[tuple[int, list[Damage]]]) -> int:
        """Compare the next block; returns its bytes."""
        size, damage = next(blocks, (0, []))
        self.done = not size and not damage
        if damage:
            self._damage = damage[0]
        return size
