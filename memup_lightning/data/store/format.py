"""The files of a store: what they are called, what is in them, when they are sound.

PATH/meta.json        format version, fields, checksum; written once, by rename
PATH/index.bin        a record an episode, <u8: offset, length, CRC-32 of each field, hash64 of number and those
PATH/fields/NAME.bin  the steps of all episodes, NAME percent-encoded; what lies past the last record is ignored
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from memup_lightning.exceptions import MemUPError
from memup_lightning.rng import hash64
from memup_lightning.specs import FieldSpec

FORMAT = 1


def field_path(path: Path, name: str) -> Path:
    return path / "fields" / f"{quote(name, safe='')}.bin"


def record_bytes(fields: Mapping[str, FieldSpec]) -> int:
    return 8 * (3 + len(fields))


def as_bytes(array: npt.NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_meta(path: Path, fields: Mapping[str, FieldSpec]) -> None:
    meta: dict[str, Any] = {"format": FORMAT, "byteorder": sys.byteorder}
    meta["fields"] = {name: asdict(field) for name, field in fields.items()}
    meta["crc32"] = zlib.crc32(json.dumps(meta).encode())
    with open(path / "meta.json.new", "w") as file:
        json.dump(meta, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path / "meta.json.new", path / "meta.json")


def read_meta(path: Path) -> dict[str, FieldSpec]:
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
    return {name: FieldSpec(**{**field, "shape": tuple(field["shape"])}) for name, field in meta["fields"].items()}


def read_index(path: Path, fields: Mapping[str, FieldSpec], first: int | None = None) -> npt.NDArray[np.uint64]:
    """The records of the finished episodes, ``[episodes, 3 + fields]``, without what a killed writer left."""
    file, size = path / "index.bin", record_bytes(fields)
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
        field_file = field_path(path, name)
        found = field_file.stat().st_size if field_file.exists() else 0
        whole = int(np.searchsorted(ends, found // field.step_bytes, side="right"))
        if whole < len(records):
            raise MemUPError(
                f"{field_file} has {found} bytes, but {len(records)} episodes need {ends[-1] * field.step_bytes}: it "
                f"is truncated; EpisodeStore(path, first={whole}) opens the episodes that are whole in it, to be "
                f"copied to a new store"
            )
    return records
