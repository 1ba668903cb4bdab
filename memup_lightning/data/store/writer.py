"""Appending of episodes to a store. An episode is finished when its record is in the index; all else is cut off."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from filelock import BaseFileLock, FileLock, Timeout

from memup_lightning.data.episodes import check_values
from memup_lightning.data.store.files import open_file, sync_folder, write_at, writing
from memup_lightning.data.store.format import (
    as_bytes,
    check_fields,
    field_path,
    read_index,
    read_meta,
    record_bytes,
    write_meta,
)
from memup_lightning.exceptions import MemUPError
from memup_lightning.rng import hash64
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays


class EpisodeWriter:
    """Writer that appends episodes to a store, one at a time; a store has one writer at a time.

        with EpisodeStore.writer(path, {"x": FieldSpec((3,)), "outcome": FieldSpec()}) as writer:
            with writer.episode() as episode:
                episode.append({"x": x, "outcome": outcome})  # [n, 3], [n]; as many pieces as it takes
            writer.add({"x": x, "outcome": outcome})  # a whole episode

    Args:
        path: folder of the store; made where there is none.
        fields: the named arrays of a step; to append to a store they must be its own.
        durable: wait for the disk before and after an episode is entered in the index. Finished episodes then survive
            a power loss or a crash of the system. Without it they survive the death of the process at any moment, and
            a power loss only once the writer was closed; short episodes are written many times faster.

    Raises:
        MemUPError: another writer is at work, other fields, a damaged store, a folder that holds something else or
            cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], fields: Mapping[str, FieldSpec], durable: bool = True) -> None:
        self.path, self.durable = Path(path), durable
        self._index = -1
        self._files: dict[str, int] = {}
        self._open: OpenEpisode | None = None
        self._lock: BaseFileLock | None = None
        check_fields(fields)
        try:
            if self.path.is_file():
                raise MemUPError(f"{self.path} is a file; give the folder of an episode store")
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                self._open_files(fields)
        except BaseException:
            self._release()
            raise

    def __len__(self) -> int:
        """Return the number of finished episodes."""
        return self._count

    @contextmanager
    def episode(self) -> Iterator[OpenEpisode]:
        """Begin an episode to append to. It is finished when the block ends; an exception inside discards it."""
        if self._index < 0:
            raise MemUPError(f"the writer of {self.path} is closed; open another one")
        if self._open is not None:
            raise MemUPError(f"episode {self._count} of {self.path} is not finished; a store takes one at a time")
        self._open = OpenEpisode(self)
        try:
            yield self._open
            self._finish(self._open)
        except BaseException:
            self._discard()
            raise
        finally:
            self._open.closed, self._open = True, None

    def add(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Append a whole episode, each field ``[length, *shape]``; raises as :meth:`OpenEpisode.append` does."""
        with self.episode() as episode:
            episode.append(arrays)

    def close(self) -> None:
        """Free the store for another writer. The finished episodes are on the disk afterwards."""
        if self._open is not None:
            raise MemUPError(f"episode {self._count} of {self.path} is not finished; close the writer after its block")
        if self._index < 0:
            return
        try:
            if not self.durable:
                with writing(self.path):
                    self._sync()
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_files(self, fields: Mapping[str, FieldSpec]) -> None:
        if not (self.path / "meta.json").exists():
            strange = {entry.name for entry in self.path.iterdir()} - {"index.bin", "fields", "lock"}
            strange = {name for name in strange if not name.endswith(".unfinished")}  # of a killed writer
            if strange:
                raise MemUPError(f"{self.path} holds {min(strange)!r}, but no store; give a folder of its own")
        self._lock = FileLock(self.path / "lock", timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise MemUPError(
                f"another writer is at work on {self.path}; wait until it is closed, or write to another folder"
            ) from None
        self._index = open_file(self.path / "index.bin", os.O_RDWR | os.O_CREAT)
        if not (self.path / "meta.json").exists():
            self._create(fields)
        self.fields = read_meta(self.path)
        _check_same_fields(self.path, self.fields, fields)
        records = read_index(self.path, self.fields)
        self._count, self._end = len(records), int(records[-1, :2].sum()) if len(records) else 0
        self._files = {name: open_file(field_path(self.path, name), os.O_RDWR) for name in self.fields}
        self._discard()

    def _create(self, fields: Mapping[str, FieldSpec]) -> None:
        size = os.fstat(self._index).st_size
        if size:
            raise MemUPError(
                f"{self.path / 'meta.json'} is missing, though index.bin holds {size} bytes; restore it, or remove "
                f"the folder to start again"
            )
        (self.path / "fields").mkdir(exist_ok=True)
        for name in fields:
            os.close(open_file(field_path(self.path, name), os.O_WRONLY | os.O_CREAT))
        sync_folder(self.path / "fields")
        write_meta(self.path, fields)
        sync_folder(self.path.absolute().parent)

    def _finish(self, episode: OpenEpisode) -> None:
        if episode.steps == 0:
            raise MemUPError(f"episode {self._count} of {self.path} has no steps; append at least one, or leave it out")
        numbers = [self._end, episode.steps, *episode.checksums.values()]
        record = np.array([*numbers, int(hash64(self._count, *numbers))], "<u8")
        with writing(self.path):
            if self.durable:
                self._sync(index=False)
            write_at(self._index, memoryview(record.tobytes()), self._count * record.nbytes)  # finished from here on
            if self.durable:
                os.fsync(self._index)
        self._end, self._count = self._end + episode.steps, self._count + 1

    def _discard(self) -> None:
        """Cut off whatever follows the last finished episode."""
        for name, file in self._files.items():
            os.ftruncate(file, self._end * self.fields[name].step_bytes)
        os.ftruncate(self._index, self._count * record_bytes(self.fields))

    def _sync(self, index: bool = True) -> None:
        for file in (*self._files.values(), *([self._index] if index else [])):
            os.fsync(file)

    def _release(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])
        if self._index >= 0:
            os.close(self._index)
        self._index = -1
        if self._lock is not None:
            self._lock.release()  # unlocks, since a forked child may hold the file open

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self._release()


class OpenEpisode:
    """An episode that is being written; see :meth:`EpisodeWriter.episode`."""

    def __init__(self, writer: EpisodeWriter) -> None:
        self._writer, self.steps, self.closed = writer, 0, False
        self.checksums = dict.fromkeys(writer.fields, 0)

    def append(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Append the next steps of the episode, as many as there are.

        Args:
            arrays: each field of the store, ``[steps, *shape]`` in its dtype.

        Raises:
            MemUPError: a missing or unknown field, another shape or dtype, a value outside of its field's range, a full
                disk. The steps are not appended then; the episode continues if the error is caught inside its block.
        """
        writer, number = self._writer, self._writer._count
        if self.closed:
            raise MemUPError(f"this episode of {writer.path} is over; begin another with writer.episode()")
        pieces = _check_piece(writer.fields, arrays, number)
        count = len(next(iter(pieces.values())))
        if count == 0:
            return
        check_values(pieces, writer.fields, np.array([-self.steps, count]), number)
        checksums = {}
        for name, piece in pieces.items():
            view, position = as_bytes(piece), (writer._end + self.steps) * writer.fields[name].step_bytes
            with writing(writer.path):
                write_at(writer._files[name], view, position)
            checksums[name] = zlib.crc32(view, self.checksums[name])
        self.steps, self.checksums = self.steps + count, checksums


def _check_same_fields(path: Path, stored: Mapping[str, FieldSpec], given: Mapping[str, FieldSpec]) -> None:
    for name in (*stored, *given):
        if stored.get(name) != given.get(name):
            was, now = (repr(fields[name]) if name in fields else "no field" for fields in (stored, given))
            raise MemUPError(
                f"{path} was made with {name!r} as {was}, not {now}; append with the store's own fields, or write to "
                "another folder"
            )


def _check_piece(fields: Mapping[str, FieldSpec], arrays: Mapping[str, npt.NDArray[Any]], number: int) -> Arrays:
    """Return the arrays in the order of the fields, contiguous; refused where they are not what the fields say."""
    if fields.keys() != arrays.keys():
        raise MemUPError(
            f"episode {number}: missing fields {sorted(fields.keys() - arrays.keys())}, unknown fields "
            f"{sorted(arrays.keys() - fields.keys())}; give each field of the store: {list(fields)}"
        )
    pieces: Arrays = {}
    for name, field in fields.items():
        piece = np.asarray(arrays[name])
        if piece.ndim == 0 or piece.shape[1:] != field.shape or piece.dtype != np.dtype(field.dtype):
            raise MemUPError(
                f"episode {number}, field {name!r}: got {piece.dtype}{list(piece.shape)}, the store takes "
                f"{field.dtype}{['steps', *field.shape]}; convert it with astype and reshape"
            )
        pieces[name] = np.ascontiguousarray(piece)
    counts = {name: len(piece) for name, piece in pieces.items()}
    if len(set(counts.values())) > 1:
        raise MemUPError(
            f"episode {number}: the fields differ in their number of steps: {counts}; append them together"
        )
    return pieces
