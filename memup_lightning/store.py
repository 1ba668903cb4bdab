"""Episodes on disk: one flat file per field, laid end to end, and an index of fixed-size records.

A chunk of an episode of any length is then one byte range a field, and an episode is finished when its index record
is there. TensorDict's memory maps are as flat, but their length is fixed when they are made; Zarr reads and decodes
whole compressed chunks for a slice of a few steps; Minari keeps whole episodes as HDF5 groups or Arrow files, which
suits exchange, not slices. None of the three has a commit point an episode. POSIX only (fcntl, preadv).

    PATH/meta.json        format version, fields, checksum; written once, by rename
    PATH/index.bin        a record an episode, <u8: offset, length, CRC-32 of each field, hash64 of number and those
    PATH/fields/NAME.bin  the steps of all episodes, NAME percent-encoded; what lies past the last record is ignored
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from memup_lightning.counter import hash64
from memup_lightning.episodes import EVALUATE, HAS_OUTCOME, Arrays, EpisodeSource, Field, IntArray, check_outcomes
from memup_lightning.errors import MemUPError

FORMAT = 1
_AHEAD_PER_ROW = 64 << 10  # bytes read ahead for one row of a gather ...
_AHEAD_IN_ALL = 16 << 20  # ... and for all its rows together
_BLOCK = 4 << 20  # bytes that verify() holds at a time


class EpisodeStore(EpisodeSource):
    """The finished episodes of a store, as they were when it was opened; a writer may append meanwhile.

    Slices are read by ``pread`` with 64 KiB of read-ahead for each row that goes on where it stopped, not through
    memory maps: the pages of a map count as resident (1.2 GB streamed through one raised the peak from 28 to 1180 MB,
    through this to 33 MB) and against an address-space limit. A gather of 64 lanes (36 bytes a step) took 34, 44 and
    86 us at 1, 10 and 100 steps, a plain loop of memory-mapped slices 192, 279 and 345 us (45, 62 and 78 us where the
    maps are viewed as plain arrays); from random places it took 270 to 320 us.

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
        self.fields = _read_meta(self.path)
        records = _read_index(self.path, self.fields, first)
        self.offsets, self.lengths = records[:, 0].astype(np.int64), records[:, 1].astype(np.int64)

    @staticmethod
    def writer(path: str | os.PathLike[str], fields: Mapping[str, Field], durable: bool = True) -> EpisodeWriter:
        """A writer that makes the store or appends to it; see :class:`EpisodeWriter`."""
        return EpisodeWriter(path, fields, durable)

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        with self._lock:
            rows = self._gather(np.array([episode]), np.array([start]), stop - start, tuple(self.fields), ahead=False)
        return {name: array[0] for name, array in rows.items()}

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        with self._lock:
            return self._gather(episodes, starts, steps, tuple(names))

    def _gather(
        self, episodes: IntArray, starts: IntArray, steps: int, names: tuple[str, ...], ahead: bool = True
    ) -> Arrays:
        rows, offsets, lengths = len(episodes), self.offsets[episodes], self.lengths[episodes]
        firsts, stops = np.clip(starts, 0, lengths), np.clip(starts + steps, 0, lengths)
        complete = bool((stops - firsts == steps).all())
        window = self._window(rows, steps, names) if ahead else None
        held = np.zeros(rows, np.bool_)
        if window is not None:
            held = window.hold(offsets + firsts, offsets + stops, self._read_ranges)
            local = starts[:, None] + np.arange(steps)
            index = local + (offsets - window.begins + np.arange(rows) * window.steps)[:, None]
            if not (complete and held.all()):
                inside = (local >= 0) & (local < lengths[:, None])
                index = np.where(inside & held[:, None], index, 0)
        direct = np.flatnonzero(~held & (stops > firsts))
        out: Arrays = {}
        for name in names:
            size = _step_bytes(self.fields[name])
            if window is not None and held.any():
                out[name] = window.buffers[name].take(index, axis=0)
                if not complete:
                    out[name][~inside] = self.fields[name].fill
            elif complete:
                out[name] = np.empty((rows, steps, *self.fields[name].shape), self.fields[name].dtype)
            else:
                out[name] = self.empty(name, rows, steps)
            if direct.size:
                places = (direct * steps + firsts[direct] - starts[direct]) * size
                counts = (stops[direct] - firsts[direct]) * size
                positions = (offsets[direct] + firsts[direct]) * size
                self._read_ranges(name, _bytes(out[name]), places, counts, positions)
        return out

    def _window(self, rows: int, steps: int, names: tuple[str, ...]) -> _ReadAhead | None:
        """The read-ahead of this shape of gather; None where one would hold less than two gathers."""
        window = self._windows.get((rows, names))
        if window is None:
            window = _ReadAhead(self, rows, names)
            if len(self._windows) >= 4:  # enough for the chunks and targets of training and of evaluation
                del self._windows[next(iter(self._windows))]
            self._windows[rows, names] = window
        return window if 0 < 2 * steps <= window.steps else None

    def _read_ranges(
        self, name: str, view: memoryview, places: IntArray, counts: IntArray, positions: IntArray
    ) -> None:
        """``counts[i]`` bytes from ``positions[i]`` of the field's file to ``places[i]`` of ``view``, for every i."""
        if name not in self._files:
            self._files[name] = os.open(_field_path(self.path, name), os.O_RDONLY)
        file, pread = self._files[name], os.preadv
        for place, count, position in zip(places.tolist(), counts.tolist(), positions.tolist(), strict=True):
            done = pread(file, (view[place : place + count],), position)
            while done < count:  # a signal, or more than the 2 GiB that Linux reads at once
                more = pread(file, (view[place + done : place + count],), position + done)
                if more == 0:
                    raise MemUPError(
                        f"{_field_path(self.path, name)} ends at byte {position + done}, but the store was opened with "
                        f"data up to byte {position + count}: it was truncated since; open the store again"
                    )
                done += more

    def verify(self) -> None:
        """Read every byte and compare it with the checksums of the index.

        Raises:
            MemUPError: naming every damaged episode and the field that is damaged in it.
        """
        damaged = []
        for episode, record in enumerate(_read_index(self.path, self.fields, len(self)).tolist()):
            for name, expected in zip(self.fields, record[2:-1], strict=True):
                size, crc = _step_bytes(self.fields[name]), 0
                begin, end = record[0] * size, (record[0] + record[1]) * size
                for position in range(begin, end, _BLOCK):
                    block = memoryview(bytearray(min(_BLOCK, end - position)))
                    count = np.array([len(block)])
                    self._read_ranges(name, block, np.array([0]), count, np.array([position]))
                    crc = zlib.crc32(block, crc)
                if crc != expected:
                    damaged.append(f"episode {episode} (field {name!r}, bytes {begin} to {end})")
        if damaged:
            raise MemUPError(
                f"{self.path}: {len(damaged)} checksums do not match: {', '.join(damaged[:20])}"
                f"{', ...' if len(damaged) > 20 else ''}; write these episodes again, or copy the others to a new store"
            )

    def close(self) -> None:
        """Close the files. A later read opens them again."""
        while self._files:
            os.close(self._files.popitem()[1])
        self._windows.clear()

    def __del__(self) -> None:
        if hasattr(self, "_windows"):
            self.close()

    def _reset(self) -> None:
        self._files: dict[str, int] = {}
        self._lock = threading.Lock()
        self._windows: dict[tuple[int, tuple[str, ...]], _ReadAhead] = {}

    def __getstate__(self) -> dict[str, Any]:
        own = ("_files", "_lock", "_windows")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


class _ReadAhead:
    """What was read ahead for each row of a gather: steps ``begins <= t < ends`` of the store, ``[rows, steps]``."""

    def __init__(self, store: EpisodeStore, rows: int, names: tuple[str, ...]) -> None:
        self.sizes = {name: _step_bytes(store.fields[name]) for name in names}
        self.steps = min(_AHEAD_PER_ROW, _AHEAD_IN_ALL // max(rows, 1)) // max(sum(self.sizes.values()), 1)
        self.last = int(store.offsets[-1] + store.lengths[-1]) if len(store) else 0
        self.begins, self.ends = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self.previous = np.full(rows, -1, np.int64), np.full(rows, -1, np.int64)
        self.buffers = {
            name: np.empty((rows * self.steps, *store.fields[name].shape), store.fields[name].dtype) for name in names
        }

    def hold(self, begins: IntArray, ends: IntArray, read_ranges: Callable[..., None]) -> npt.NDArray[np.bool_]:
        """Which rows are in the buffers, after the rows that go on from their previous place were read ahead."""
        held = (begins >= self.begins) & (ends <= self.ends)
        if not held.all():
            went_on = (begins > self.previous[0]) & (begins <= self.previous[1])
            rows = np.flatnonzero(~held & went_on)
            self.ends[rows] = 0  # holds nothing, should a read fail
            stops = np.minimum(begins[rows] + self.steps, self.last)
            for name, size in self.sizes.items():
                view = _bytes(self.buffers[name])
                counts = (stops - begins[rows]) * size
                read_ranges(name, view, rows * self.steps * size, counts, begins[rows] * size)
            self.begins[rows], self.ends[rows] = begins[rows], stops
            held[rows] = True
        self.previous = begins, ends
        return held


class EpisodeWriter:
    """Appends episodes to a store, one at a time; a store has one writer at a time.

        with EpisodeStore.writer(path, {"x": Field((3,)), "outcome": Field()}) as writer:
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
        MemUPError: another writer is at work, other fields, a damaged store, a folder that holds something else.
    """

    def __init__(self, path: str | os.PathLike[str], fields: Mapping[str, Field], durable: bool = True) -> None:
        self.path, self.durable = Path(path), durable
        self._index = -1
        self._files: dict[str, int] = {}
        self._open: OpenEpisode | None = None
        _check_fields(fields)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise MemUPError(f"{self.path} is a file; give the folder of an episode store") from None
        if not (self.path / "meta.json").exists():
            strange = {entry.name for entry in self.path.iterdir()} - {"meta.json.new", "index.bin", "fields"}
            if strange:
                raise MemUPError(f"{self.path} holds {min(strange)!r}, but no store; give a folder of its own")
        self._index = os.open(self.path / "index.bin", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._lock()
            if not (self.path / "meta.json").exists():
                self._create(fields)
            self.fields = _read_meta(self.path)
            _check_same_fields(self.path, self.fields, fields)
            records = _read_index(self.path, self.fields)
            self._count, self._end = len(records), int(records[-1, :2].sum()) if len(records) else 0
            self._files = {name: os.open(_field_path(self.path, name), os.O_WRONLY) for name in self.fields}
            self._discard()
        except BaseException:
            self._release()
            raise

    def __len__(self) -> int:
        """Number of finished episodes."""
        return self._count

    @contextmanager
    def episode(self) -> Iterator[OpenEpisode]:
        """An episode to append to. It is finished when the block ends; an exception inside discards it."""
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
        """A whole episode: each field ``[length, *shape]``. Raises as :meth:`OpenEpisode.append` does."""
        with self.episode() as episode:
            episode.append(arrays)

    def close(self) -> None:
        """Let another writer come. The finished episodes are on the disk afterwards."""
        if self._open is not None:
            raise MemUPError(f"episode {self._count} of {self.path} is not finished; close the writer after its block")
        if self._index < 0:
            return
        try:
            if not self.durable:
                self._sync()
            fcntl.flock(self._index, fcntl.LOCK_UN)  # a forked child may hold the file open, and the lock with it
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._index, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MemUPError(
                f"another writer is at work on {self.path}; wait until it is closed, or write to another folder"
            ) from None

    def _create(self, fields: Mapping[str, Field]) -> None:
        size = os.fstat(self._index).st_size
        if size:
            raise MemUPError(
                f"{self.path / 'meta.json'} is missing, though index.bin holds {size} bytes; restore it, or remove "
                f"the folder to start anew"
            )
        (self.path / "fields").mkdir(exist_ok=True)
        for name in fields:
            os.close(os.open(_field_path(self.path, name), os.O_WRONLY | os.O_CREAT, 0o666))
        _sync_folder(self.path / "fields")
        _write_meta(self.path, fields)
        _sync_folder(self.path)
        _sync_folder(self.path.absolute().parent)

    def _finish(self, episode: OpenEpisode) -> None:
        if episode.steps == 0:
            raise MemUPError(f"episode {self._count} of {self.path} has no steps; append at least one, or leave it out")
        if self.durable:
            self._sync(index=False)
        numbers = [self._end, episode.steps, *episode.checksums.values()]
        record = np.array([*numbers, int(hash64(self._count, *numbers))], "<u8")
        _write(self._index, memoryview(record.tobytes()), self._count * record.nbytes)  # the episode is finished here
        if self.durable:
            os.fsync(self._index)
        self._end, self._count = self._end + episode.steps, self._count + 1

    def _discard(self) -> None:
        """Cut off whatever follows the last finished episode."""
        for name, file in self._files.items():
            os.ftruncate(file, self._end * _step_bytes(self.fields[name]))
        os.ftruncate(self._index, self._count * _record_bytes(self.fields))

    def _sync(self, index: bool = True) -> None:
        for file in (*self._files.values(), *([self._index] if index else [])):
            os.fsync(file)

    def _release(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])
        if self._index >= 0:
            os.close(self._index)
        self._index = -1

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self._release()


class OpenEpisode:
    """An episode that is being written; see :meth:`EpisodeWriter.episode`."""

    def __init__(self, writer: EpisodeWriter) -> None:
        self._writer, self.steps, self.closed = writer, 0, False
        self.checksums = dict.fromkeys(writer.fields, 0)

    def append(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """The next steps of the episode, as many as there are.

        Args:
            arrays: each field of the store, ``[steps, *shape]`` in its dtype.

        Raises:
            MemUPError: a missing or unknown field, another shape or dtype, an outcome that is not a number. Nothing
                is written then; the episode goes on if the error is caught inside its block.
        """
        writer, number = self._writer, self._writer._count
        if self.closed:
            raise MemUPError(f"this episode of {writer.path} is over; begin another with writer.episode()")
        pieces = _check_piece(writer.fields, arrays, number)
        count = len(next(iter(pieces.values())))
        if count == 0:
            return
        check_outcomes(pieces, np.array([-self.steps, count]), number)
        checksums = {}
        for name, piece in pieces.items():
            view, position = _bytes(piece), (writer._end + self.steps) * _step_bytes(writer.fields[name])
            _write(writer._files[name], view, position)
            checksums[name] = zlib.crc32(view, self.checksums[name])
        self.steps, self.checksums = self.steps + count, checksums


def _check_fields(fields: Mapping[str, Field]) -> None:
    if not fields:
        raise MemUPError("a store needs at least one field, got none")
    for name, field in fields.items():
        try:
            kind: str = np.dtype(field.dtype).kind
        except TypeError:
            kind = "no dtype"
        if kind not in "biuf":
            raise MemUPError(f"field {name!r} has dtype {field.dtype!r}; a store takes bool, integers and floats")
        if 0 in field.shape:
            raise MemUPError(f"field {name!r} has shape {field.shape}, which holds nothing; leave the field out")
        if name in (HAS_OUTCOME, EVALUATE) and (kind != "b" or field.shape):
            raise MemUPError(f"field {name!r} is {field.dtype}{list(field.shape)} a step; it must be one bool a step")
        if len(_field_path(Path(), name).name) > 255:
            raise MemUPError(f"the field name {name!r} is too long for a file name; shorten it")


def _check_same_fields(path: Path, stored: Mapping[str, Field], given: Mapping[str, Field]) -> None:
    for name in (*stored, *given):
        if stored.get(name) != given.get(name):
            raise MemUPError(
                f"{path} was made with {name!r} as {stored.get(name, 'no field')}, not {given.get(name, 'no field')}; "
                f"append with the store's own fields, or write to another folder"
            )


def _check_piece(fields: Mapping[str, Field], arrays: Mapping[str, npt.NDArray[Any]], number: int) -> Arrays:
    """The arrays in the order of the fields, contiguous; refused where they are not what the fields say."""
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


def _field_path(path: Path, name: str) -> Path:
    return path / "fields" / f"{quote(name, safe='')}.bin"


def _step_bytes(field: Field) -> int:
    return int(np.prod(field.shape, dtype=np.int64)) * np.dtype(field.dtype).itemsize


def _record_bytes(fields: Mapping[str, Field]) -> int:
    return 8 * (3 + len(fields))


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _write(file: int, view: memoryview, position: int) -> None:
    while len(view):
        done = os.pwrite(file, view, position)
        view, position = view[done:], position + done


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_meta(path: Path, fields: Mapping[str, Field]) -> None:
    meta: dict[str, Any] = {"format": FORMAT, "byteorder": sys.byteorder}
    meta["fields"] = {name: asdict(field) for name, field in fields.items()}
    meta["crc32"] = zlib.crc32(json.dumps(meta).encode())
    with open(path / "meta.json.new", "w") as file:
        json.dump(meta, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path / "meta.json.new", path / "meta.json")


def _read_meta(path: Path) -> dict[str, Field]:
    file = path / "meta.json"
    try:
        meta = json.loads(file.read_bytes())
        version, crc32 = meta["format"], meta.pop("crc32")
        intact = zlib.crc32(json.dumps(meta).encode()) == crc32
    except (FileNotFoundError, NotADirectoryError):
        raise MemUPError(f"no episode store at {path}: {file} does not exist; give the folder of one") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise MemUPError(f"{file} is damaged ({error!r}); restore it from a copy") from None
    if version != FORMAT:
        raise MemUPError(
            f"{file}: format {version!r} is unknown, this memup-lightning reads format {FORMAT}; update it"
        )
    if not intact:
        raise MemUPError(f"{file} is damaged (it does not match its checksum {crc32}); restore it from a copy")
    if meta["byteorder"] != sys.byteorder:
        raise MemUPError(f"{path} was written on a {meta['byteorder']}-endian machine; write it again on this one")
    return {name: Field(**{**field, "shape": tuple(field["shape"])}) for name, field in meta["fields"].items()}


def _read_index(path: Path, fields: Mapping[str, Field], first: int | None = None) -> npt.NDArray[np.uint64]:
    """The records of the finished episodes, ``[episodes, 3 + fields]``, without what a killed writer left."""
    file, size = path / "index.bin", _record_bytes(fields)
    try:
        flat = np.fromfile(file, "<u8")  # leaves out the last bytes where they make no whole number
    except FileNotFoundError:
        raise MemUPError(f"{file} is missing; restore it from a copy") from None
    records = flat[: flat.size * 8 // size * (size // 8)].reshape(-1, size // 8).astype(np.uint64)
    written = np.flatnonzero(records[:, -1])  # the last word of a record that a power loss tore is still 0
    records = records[: written[-1] + 1 if written.size else 0]
    if first is not None:
        if not 0 <= first <= len(records):
            raise MemUPError(f"{path} holds {len(records)} episodes, cannot open the first {first}")
        records = records[:first]
    bad = np.flatnonzero(records[:, -1] != hash64(np.arange(len(records)), *records[:, :-1].T))
    if bad.size:
        raise MemUPError(
            f"{file}: record {bad[0]} of {len(records)} is damaged (bytes {bad[0] * size} to {(bad[0] + 1) * size}); "
            f"EpisodeStore(path, first={bad[0]}) opens the episodes before it, to be copied to a new store"
        )
    ends = (records[:, 0] + records[:, 1]).astype(np.int64)
    for name, field in fields.items():
        field_file = _field_path(path, name)
        found = field_file.stat().st_size if field_file.exists() else 0
        whole = int(np.searchsorted(ends, found // _step_bytes(field), side="right"))
        if whole < len(records):
            raise MemUPError(
                f"{field_file} has {found} bytes, but {len(records)} episodes need {ends[-1] * _step_bytes(field)}: it "
                f"is truncated; EpisodeStore(path, first={whole}) opens the episodes that are whole in it, to be "
                f"copied to a new store"
            )
    return records
