"""The files of a store: their names, their content, and when they are intact.

PATH/meta.json        format version, fields, checksum; written once, by rename
PATH/index.bin        a record an episode, <u8: offset, length, CRC-32 of each field, hash64 of number and those
PATH/fields/NAME.bin  the steps of all episodes, NAME percent-encoded; what follows the last record is ignored
PATH/lock             held by the writer
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.files import atomic_write
from memup_lightning.rng import hash64
from memup_lightning.specs import FieldSpec

FORMAT = 1
_MAX_SIZE = 1 << 40  # steps of an episode, or numbers of a step, in a store that is no forgery


def field_path(path: Path, name: str) -> Path:
    """Return the file of a field of a store."""
    return path / "fields" / f"{quote(name, safe='')}.bin"


def record_bytes(fields: Mapping[str, FieldSpec]) -> int:
    """Return the size of the record of an episode, in bytes."""
    return 8 * (3 + len(fields))


def as_bytes(array: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of an array that is contiguous, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def check_fields(fields: Mapping[str, FieldSpec]) -> None:
    """Refuse fields that a store cannot hold."""
    if not fields:
        raise MemUPError("a store needs at least one field, got none")
    for name, field in fields.items():
        try:
            kind: str = np.dtype(field.dtype).kind
        except TypeError:
            kind = "no dtype"
        if kind not in "biuf":
            raise MemUPError(f"field {name!r} has dtype {field.dtype!r}; a store takes bool, integers and floats")
        if min(field.shape, default=1) < 1:
            raise MemUPError(f"field {name!r} has shape {field.shape}, which holds nothing; leave the field out")
        if name in (HAS_OUTCOME, EVAL_MASK) and (kind != "b" or field.shape):
            raise MemUPError(f"field {name!r} is {field.dtype}{list(field.shape)} a step; it must be one bool a step")
        if len(field_path(Path(), name).name) > 255:
            raise MemUPError(f"the field name {name!r} is too long for a file name; shorten it")


def write_meta(path: Path, fields: Mapping[str, FieldSpec]) -> None:
    """Write ``meta.json``."""
    meta: dict[str, Any] = {"format": FORMAT, "byteorder": sys.byteorder}
    meta["fields"] = {name: asdict(field) for name, field in fields.items()}
    meta["crc32"] = zlib.crc32(json.dumps(meta).encode())
    with atomic_write(path / "meta.json") as file:
        file.write(json.dumps(meta, indent=1).encode())


def read_meta(path: Path) -> dict[str, FieldSpec]:
    """Read the fields of a store.

    Raises:
        MemUPError: no store, a damaged or forged ``meta.json``, another format or byte order.
    """
    file = path / "meta.json"
    try:
        meta = json.loads(file.read_bytes())
        version, crc32 = meta["format"], meta.pop("crc32")
        intact = zlib.crc32(json.dumps(meta).encode()) == crc32
    except (FileNotFoundError, NotADirectoryError):
        raise MemUPError(f"no episode store at {path}: {file} does not exist; give the folder of one") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise MemUPError(f"{file} is damaged ({error!r}); restore it from a copy") from None
    if version != FORMAT:
        raise MemUPError(
            f"{file}: format {version!r} is unknown, this memup-lightning reads format {FORMAT}; update it"
        )
    if not intact:
        raise MemUPError(f"{file} is damaged (it does not match its checksum {crc32}); restore it from a copy")
    try:
        if meta["byteorder"] != sys.byteorder:
            raise MemUPError(f"{path} was written on a {meta['byteorder']}-endian machine; write it again on this one")
        fields = {name: _read_field(field) for name, field in meta["fields"].items()}
        check_fields(fields)
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # its checksum is right: a forged file
        raise MemUPError(f"{file} describes no fields of a store ({error}); restore it from a copy") from None
    return fields


def _read_field(content: dict[str, Any]) -> FieldSpec:
    shape, classes = tuple(content["shape"]), content["classes"]
    if not all(type(size) is int and 0 < size < _MAX_SIZE for size in shape) or type(classes) is not int:
        raise MemUPError(f"shape {shape}, classes {classes!r}")
    return FieldSpec(**{**content, "shape": shape})


def read_records(path: Path, fields: Mapping[str, FieldSpec]) -> npt.NDArray[np.uint64]:
    """Read the index as it is, ``[episodes, 3 + fields]``."""
    file, size = path / "index.bin", record_bytes(fields)
    try:
        flat = np.fromfile(file, "<u8")  # leaves out the last bytes where they make no whole number
    except FileNotFoundError:
        raise MemUPError(f"{file} is missing; restore it from a copy") from None
    return flat[: flat.size * 8 // size * (size // 8)].reshape(-1, size // 8).astype(np.uint64)


def read_index(path: Path, fields: Mapping[str, FieldSpec], first: int | None = None) -> npt.NDArray[np.uint64]:
    """Read the records of the finished episodes, ``[episodes, 3 + fields]``, without what a killed writer left.

    Args:
        path: folder of the store.
        fields: its fields.
        first: only so many episodes; None: all.

    Raises:
        MemUPError: a damaged or forged record, a truncated field.
    """
    file, size = path / "index.bin", record_bytes(fields)
    records = read_records(path, fields)
    written = np.flatnonzero(records[:, -1])  # the last word of a record that a power loss tore is still 0
    records = records[: written[-1] + 1 if written.size else 0]
    if first is not None:
        if not 0 <= first <= len(records):
            raise MemUPError(f"{path} holds {counted(len(records), 'episode')}, cannot open the first {first}")
        records = records[:first]
    bad = np.flatnonzero(records[:, -1] != hash64(np.arange(len(records)), *records[:, :-1].T))
    if bad.size:
        raise MemUPError(
            f"{file}: record {bad[0]} of {len(records)} is damaged (bytes {bad[0] * size} to {(bad[0] + 1) * size}); "
            f"EpisodeStore(path, first={bad[0]}) opens the episodes before it, to be copied to a new store"
        )
    ends = np.cumsum(np.minimum(records[:, 1], _MAX_SIZE)).astype(np.int64)
    forged = (
        (records[:, 1] < 1) | (records[:, 1] > _MAX_SIZE) | (records[:, 0] != (ends - records[:, 1].astype(np.int64)))
    )
    if forged.any():
        number = int(forged.argmax())
        raise MemUPError(
            f"{file}: record {number} of {len(records)} gives episode {number} {records[number, 1]} steps from step "
            f"{records[number, 0]} on, which does not follow the episode before; restore the store from a copy"
        )
    for name, field in fields.items():
        field_file = field_path(path, name)
        found = field_file.stat().st_size if field_file.exists() else 0
        whole = int(np.searchsorted(ends, found // field.step_bytes, side="right"))
        if whole < len(records):
            raise MemUPError(
                f"{field_file} has {found} bytes, but {counted(len(records), 'episode')} need "
                f"{ends[-1] * field.step_bytes}: it is truncated; EpisodeStore(path, first={whole}) opens the "
                "episodes that are whole in it, to be copied to a new store"
            )
    return records
