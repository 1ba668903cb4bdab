"""Episodes in an npz file, read block by block; a damaged or forged file is refused."""

from __future__ import annotations

import difflib
import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from memup_lightning.data.array_files.columns import (
    allocate,
    check_numeric,
    check_one_an_episode,
    convert_type,
    finish,
    put,
    put_flag,
)
from memup_lightning.data.array_files.large_numbers import LargeNumbers
from memup_lightning.data.array_files.layout import Array, Columns, Layout, UserEpisodes
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, check_lengths
from memup_lightning.exceptions import MemUPError, counted, no_such_name
from memup_lightning.specs import FieldType
from memup_lightning.typing import IntArray
from memup_lightning.user_warnings import option

_LENGTHS = "lengths"
_OPTIONAL = (_LENGTHS, HAS_OUTCOME, EVAL_MASK)
_BLOCK = 4 << 20  # bytes that are read at once
_ZIP_END_BYTES = 22 + (1 << 16)  # record at the end of a zip file, with its longest comment
_ZIP64_COUNT = 0xFFFF  # the count is elsewhere


def read_npz(path: Path, columns: Columns) -> UserEpisodes:
    """Read all episodes of an npz file; raises as :func:`~memup_lightning.data.array_files.read_episodes` does."""
    with _readable(path), zipfile.ZipFile(path) as archive:
        _check_directory(path, archive)
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        x_names = columns.x or ("x",)
        y_name = None if columns.may_lack_y and columns.y not in members else columns.y
        _check_names(path, list(members), (*x_names, *filter(None, (y_name,))), columns)
        arrays = {name: _Member(path, archive, name, info) for name, info in members.items()}
        if _LENGTHS in arrays:
            lengths, leading = _lengths(path, arrays[_LENGTHS]), 1
        else:  # of equal length: [episodes, steps, ...]
            first = arrays[x_names[0]]
            if len(first.shape) < 2:
                raise MemUPError(
                    f"{path}: {x_names[0]!r} has shape {list(first.shape)}; without an array {_LENGTHS!r} (steps of each "
                    "episode) it must be [episodes, steps, ...]"
                )
            lengths, leading = check_lengths(np.full(first.shape[0], first.shape[1])), 2
        layout = Layout(str(path), lengths)
        flags = {name: arrays[name].flag(layout, leading) for name in (HAS_OUTCOME, EVAL_MASK) if name in arrays}
        notes: list[str] = []
        x = _join([arrays[name] for name in x_names], layout, leading, columns.x_type, columns.missing, notes)
        if y_name is None:
            none = np.zeros(layout.rows, np.bool_)
            user = finish(layout, x, np.zeros(layout.rows, np.float32), {HAS_OUTCOME: none}, False, may_lack_y=True)
        else:
            y, one_an_episode = _outcome(arrays[y_name], layout, leading, columns.y_type, flags.get(HAS_OUTCOME))
            user = finish(layout, x, y, flags, one_an_episode)
        return replace(user, arrays=x_names, notes=[] if columns.may_lack_y else notes)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Refuse a file that is no npz file, or is damaged."""
    with open(path, "rb") as file:
        begin = file.read(6)
    if begin[:2] != b"PK":
        found = "a .npy file, which holds one array" if begin == b"\x93NUMPY" else "another kind of file"
        raise MemUPError(f"{path} is no npz file but {found}; write it by np.savez(path, x=x, y=y, lengths=lengths)")
    try:
        yield
    except MemUPError:
        raise
    except Exception as error:  # of damaged bytes zipfile, zlib, lzma and NumPy's parser of headers raise anything
        raise MemUPError(f"{path} cannot be read ({error!r}): it is cut short or damaged; write it again") from error


def _check_directory(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse a file whose end counts more or fewer arrays than are found; zipfile would leave some out."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _ZIP_END_BYTES))
        end = file.read()
    (count,) = struct.unpack_from("<H", end, end.rindex(b"PK\x05\x06") + 10)
    if count not in (len(archive.infolist()), _ZIP64_COUNT):
        raise MemUPError(
            f"{path} says that it holds {counted(count, 'array')}, but {len(archive.infolist())} are there: the file "
            "is damaged; write it again"
        )


def _check_names(path: Path, found: list[str], read: tuple[str, ...], columns: Columns) -> None:
    for name in read:
        if name not in found:
            raise MemUPError(no_such_name(str(path), name, found) + _options(found, columns))
    for name in found:
        near = difflib.get_close_matches(name, _OPTIONAL, 1, 0.8)
        if near and name not in (*_OPTIONAL, *read):
            raise MemUPError(f"{path} has an array {name!r}, which is not read; name it {near[0]!r} or leave it out")


def _options(found: list[str], columns: Columns) -> str:
    """Say which options name the arrays, where the default names are not there and others are."""
    if columns.may_lack_y or not (others := [name for name in found if name not in (*_OPTIONAL, "x", "y")]):
        return ""
    options, said = [], []
    if columns.x is None and "x" not in found:
        options, said = (
            [option("data.x", f"'[{others[0]}]'", f"x={others[:1]}")],
            [f"{option('data.x')} names the arrays that the memory reads"],
        )
    if columns.y == "y" and "y" not in found:
        options.append(option("data.y", others[-1]))
        said.append(f"{option('data.y')} names the outcome")
    return f"; {', '.join(said)} (such as {' and '.join(options)})" if said else ""


class _Member:
    """An array in an npz file, whose header has been read and checked."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> None:
        self.path, self.archive, self.name, self.info = path, archive, name, info
        self.shape: tuple[int, ...] = ()
        self.dtype: np.dtype[Any] = np.dtype("V")
        self.fortran, self.header = False, 0
        with archive.open(info) as file:
            if not info.filename.endswith(".npy"):
                return
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                header = np.lib.format.read_array_header_1_0(file)
            elif version == (2, 0):
                header = np.lib.format.read_array_header_2_0(file)
            else:
                raise MemUPError(f"{path}: {name!r} has version {version} of the npy format; write it by np.savez")
            self.header = file.tell()
        self.shape, self.fortran, self.dtype = header
        if self.dtype.hasobject:
            raise MemUPError(
                f"{path}: {name!r} holds Python objects; concatenate the episodes to one array and give their {_LENGTHS!r}"
            )
        size = math.prod(self.shape) * self.dtype.itemsize
        if min(self.shape, default=0) < 0 or self.header + size != info.file_size:
            raise MemUPError(
                f"{path}: {name!r} says that it is {self.dtype}{list(self.shape)}, which are {size} bytes, but "
                f"{info.file_size - self.header} are there: the file is damaged; write it again"
            )

    def rows(self, layout: Layout, leading: int) -> int | None:
        """Return the number of rows with as many leading dimensions joined; None where it has too few dimensions."""
        return math.prod(self.shape[:leading]) if len(self.shape) >= leading else None

    def blocks(self, leading: int) -> Iterator[tuple[int, Array]]:
        """Yield the first row and the values ``[rows, ...]`` of each block."""
        check_numeric(str(self.path), self.name, self.dtype.kind, self.dtype)
        rows, shape = math.prod(self.shape[:leading]), self.shape[leading:]
        row_bytes = math.prod(shape) * self.dtype.itemsize
        with self.archive.open(self.info) as file:
            _read(file, self.header)
            if self.fortran and len(self.shape) > 1:
                allocate(str(self.path), self.shape, self.dtype.name)
                content = _read(file, rows * row_bytes)
                yield 0, np.frombuffer(content, self.dtype).reshape(self.shape[::-1]).T.reshape(rows, *shape)
            else:
                at_once = max(1, _BLOCK // max(row_bytes, 1))
                for begin in range(0, rows, at_once):
                    count = min(at_once, rows - begin)
                    yield begin, np.frombuffer(_read(file, count * row_bytes), self.dtype).reshape(count, *shape)
            if file.read(1):  # at the end, zipfile compares the checksum
                raise MemUPError(f"{self.path}: {self.name!r} is longer than it says; write the file again")

    def flag(self, layout: Layout, leading: int) -> Array:
        """Read ``has_outcome`` or ``eval_mask``."""
        if len(self.shape) != leading or math.prod(self.shape) != layout.rows:
            raise MemUPError(
                f"{self.path}: {self.name!r} has shape {list(self.shape)}, but the episodes have "
                f"{counted(layout.rows, 'step')} together; give one value for each step"
            )
        out = np.zeros(layout.rows, np.bool_)
        for begin, values in self.blocks(leading):
            put_flag(out, begin, values, self.name, layout)
        return out


def _read(file: IO[bytes], count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise EOFError(f"{count} bytes expected, {len(content)} there")
    return content


def _lengths(path: Path, member: _Member) -> IntArray:
    if len(member.shape) != 1:
        raise MemUPError(
            f"{path}: {_LENGTHS!r} has shape {list(member.shape)}; give one number of steps for each episode, [episodes]"
        )
    allocate(str(path), member.shape, "int64")
    return check_lengths(np.concatenate([values for _, values in member.blocks(1)] or [np.zeros(0)]))


def _join(
    members: list[_Member], layout: Layout, leading: int, type: FieldType, missing: bool, notes: list[str]
) -> Array:
    """Read x; several arrays are joined to one vector a step."""
    for member in members:
        rows = member.rows(layout, leading)
        if rows != layout.rows:
            padded = leading == 1 and member.shape[:1] == layout.lengths.shape and len(member.shape) > 1
            advice = (
                f"; take the steps out of padded episodes: {member.name}[np.arange({member.shape[1]}) < lengths[:, None]], "
                "and y likewise"
                if padded and member.shape[1] >= layout.lengths.max()
                else ""
            )
            raise MemUPError(
                f"{member.path}: {member.name!r} has shape {list(member.shape)}, that is "
                f"{'too few dimensions' if rows is None else counted(rows, 'step')}, but the episodes have "
                f"{layout.rows} together{advice}"
            )
    shapes = [member.shape[leading:] for member in members]
    widths = [math.prod(shape) for shape in shapes]
    dtype = convert_type(np.result_type(*(member.dtype for member in members)), type)[0]
    if len(members) == 1:
        out = allocate(layout.source, (layout.rows, *shapes[0]), dtype)
        parts = [out]
    else:
        out = allocate(layout.source, (layout.rows, sum(widths)), dtype)
        parts = [out[:, end - width : end] for end, width in zip(np.cumsum(widths), widths, strict=True)]
    large = LargeNumbers()
    for member, part in zip(members, parts, strict=True):
        for begin, values in member.blocks(leading):
            if dtype == "float32":
                large.add(member.name, values)
            flat = values if len(members) == 1 else values.reshape(len(values), -1)
            put(part, begin, flat, member.name, layout, missing=missing)
    notes += large.notes()
    return out


def _outcome(
    member: _Member, layout: Layout, leading: int, type: FieldType | None, exists: Array | None
) -> tuple[Array, bool]:
    """Read y, and say whether each episode has one."""
    one_an_episode, of_steps = False, leading
    if member.rows(layout, leading) != layout.rows:
        one_an_episode, leading = True, 1
    rows = member.rows(layout, leading)
    if rows not in (layout.rows, len(layout.lengths)):
        raise MemUPError(
            f"{member.path}: {member.name!r} has {counted(rows, 'entry') if rows else 'no entries'}; give one for "
            f"each of the {layout.rows} steps, or one for each of the {len(layout.lengths)} episodes"
        )
    if one_an_episode and len(member.shape) == 2:
        check_one_an_episode(str(member.path), member.name, [member.shape[1]] * rows, layout.lengths, type)
    y_layout = Layout(layout.source, layout.lengths, one_an_episode)
    out = allocate(layout.source, (y_layout.rows, *member.shape[leading:]), convert_type(member.dtype, type)[0])
    if exists is not None and one_an_episode:
        exists = exists[layout.offsets[1:] - 1]
    unknown = _advice_where_unknown(member, len(member.shape) > leading, one_an_episode, of_steps)
    for begin, values in member.blocks(leading):
        there = None if exists is None else exists[begin : begin + len(values)]
        put(out, begin, values, member.name, y_layout, there, unknown=unknown)
    return out, one_an_episode


def _advice_where_unknown(member: _Member, is_vector: bool, one_an_episode: bool, of_steps: int) -> str:
    """Say how steps are marked whose y is NaN, as the end of a sentence.

    Args:
        member: y.
        is_vector: whether an outcome is several numbers.
        one_an_episode: whether each episode has one.
        of_steps: leading dimensions of x that are episodes and steps.
    """
    known = f"~np.isnan({member.name})" + ".any(-1)" * is_vector
    if not one_an_episode:
        how = f"np.savez(path, ..., {HAS_OUTCOME}={known})"
    elif of_steps == 1:
        how = f"{HAS_OUTCOME} = np.zeros(sum({_LENGTHS}), bool), {HAS_OUTCOME}[np.cumsum({_LENGTHS}) - 1] = {known}"
    else:
        how = f"{HAS_OUTCOME} = np.zeros(x.shape[:2], bool), {HAS_OUTCOME}[:, -1] = {known}"
    return (
        f"which is not finite; where the outcome is not known, say so by an array {HAS_OUTCOME!r} (bool, one a step, false "
        f"there): {how}; or fill it in, or drop its episode"
    )
