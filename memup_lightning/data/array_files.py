"""Reads users' own episodes: npz, parquet and Arrow files, or a function that yields them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, check_lengths
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays, IntArray

Array = npt.NDArray[Any]
EpisodeFunction = Callable[[], Iterable[tuple[Any, Any]]]
"""Yields each episode as ``(x, y)``: x ``[steps, ...]``, y ``[steps, ...]``, or one outcome for its last step."""

_LENGTHS = "lengths"


@dataclass
class OwnEpisodes:
    """Episodes as they were given, laid end to end.

    Attributes:
        x: ``[steps, ...]``.
        y: ``[steps, ...]``; anything where ``flags`` say that there is no outcome.
        lengths: steps of each episode.
        flags: ``has_outcome`` and ``eval_mask`` (bool ``[steps]``), where they are known.
    """

    x: Array
    y: Array
    lengths: IntArray
    flags: Arrays


def read_episodes(source: str | EpisodeFunction, x: Sequence[str], y: str, episode: str) -> OwnEpisodes:
    """All episodes of a file or function.

    Args:
        source: path of a file ``.npz``, ``.parquet``, ``.arrow`` or ``.feather``, or the function.
        x: arrays or columns of a file that make up x; several are joined.
        y: array or column of the outcome.
        episode: column of a table that says to which episode a row belongs.

    Raises:
        MemUPError: no such file, array or column, anything but numbers in it, lengths that disagree.
    """
    if not isinstance(source, str):
        return _of_pairs(source())
    path = Path(source).expanduser()
    readers: dict[str, Callable[[], OwnEpisodes]] = {
        ".npz": lambda: _of_npz(path, x, y),
        **dict.fromkeys([".parquet", ".arrow", ".feather"], lambda: _of_table(path, x, y, episode)),
    }
    if not path.is_file():
        raise MemUPError(
            f"{source}: no such file, and no function of that name can be imported; give a file "
            f"({', '.join(readers)}) or the import path of a function that yields (x, y)"
        )
    if path.suffix not in readers:
        raise MemUPError(
            f"{source}: a file of kind {path.suffix or 'without ending'} cannot be read; give one of "
            f"{', '.join(readers)}"
        )
    return readers[path.suffix]()


def _of_pairs(pairs: Iterable[tuple[Any, Any]]) -> OwnEpisodes:
    xs, ys = [], []
    for number, pair in enumerate(pairs):
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise MemUPError(f"episode {number} is a {type(pair).__name__}; the function must yield tuples (x, y)")
        xs.append(np.asarray(pair[0]))
        ys.append(np.asarray(pair[1]))
        if not xs[-1].ndim:
            raise MemUPError(f"x of episode {number} is one number; give an array [steps, ...]")
    lengths = check_lengths([len(array) for array in xs])
    each_step = [array.ndim > 0 and len(array) == length for array, length in zip(ys, lengths, strict=True)]
    # An outcome of d components for the last step looks like one number for each of d steps, in an episode of that length
    # alone: so all episodes together decide.
    if not all(each_step):
        ys = [array[None] for array in ys]
    for name, parts in (("x", xs), ("y", ys)):
        shapes = {part.shape[1:] for part in parts}
        if len(shapes) > 1:
            raise MemUPError(
                f"{name} has steps of shapes {', '.join(str(list(s)) for s in sorted(shapes))}; episodes may differ in "
                f"length only (y: one for each step in all episodes, or one for the last step in all)"
            )
    return _finished("the function", {"x": np.concatenate(xs)}, np.concatenate(ys), lengths, {})


def _of_npz(path: Path, x: Sequence[str], y: str) -> OwnEpisodes:
    try:
        with np.load(path) as file:
            names = list(file)
            wanted = [*x, y, *(name for name in (_LENGTHS, HAS_OUTCOME, EVAL_MASK) if name in names)]
            _check_names(path, wanted, names)
            arrays: Arrays = {name: file[name] for name in wanted}
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise MemUPError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise MemUPError(
            f"{path} holds arrays of Python objects ({error}); lay the episodes end to end and give their {_LENGTHS!r}"
        ) from error
    if _LENGTHS in arrays:
        lengths = check_lengths(arrays.pop(_LENGTHS))
    else:  # of equal length: [episodes, steps, ...]
        first = arrays[x[0]]
        if first.ndim < 2:
            raise MemUPError(
                f"{path}: {x[0]!r} has shape {list(first.shape)}; without an array {_LENGTHS!r} (steps of each episode) "
                "it must be [episodes, steps, ...]"
            )
        lengths = check_lengths(np.full(first.shape[0], first.shape[1]))
        for name, array in arrays.items():
            if array.shape[:2] == first.shape[:2]:
                arrays[name] = array.reshape(-1, *array.shape[2:])
    flags = {name: arrays[name] for name in (HAS_OUTCOME, EVAL_MASK) if name in arrays}
    return _finished(str(path), {name: arrays[name] for name in x}, arrays[y], lengths, flags)


def _of_table(path: Path, x: Sequence[str], y: str, episode: str) -> OwnEpisodes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MemUPError(f"{path} needs pyarrow: pip install 'memup-lightning[arrow]' ({error})") from error
    try:
        if path.suffix == ".parquet":
            table = parquet.read_table(path)
        else:
            with pyarrow.memory_map(str(path)) as file:
                try:
                    table = pyarrow.ipc.open_file(file).read_all()
                except pyarrow.ArrowInvalid:  # the other of Arrow's two formats
                    file.seek(0)
                    table = pyarrow.ipc.open_stream(file).read_all()
    except (OSError, pyarrow.ArrowException) as error:
        raise MemUPError(f"{path} cannot be read: {error}") from error
    _check_names(path, [*x, y, episode], table.column_names)
    number = table.column(episode).combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    new = np.zeros(len(begins), np.bool_)
    new[np.unique(number[begins], return_index=True)[1]] = True
    if not new.all():
        row = int(begins[new.argmin()])
        raise MemUPError(
            f"{path}: episode {table.column(episode)[row]} goes on at row {row}, behind another one; sort the table by "
            f"{episode!r}"
        )
    lengths = check_lengths(np.diff(begins, append=len(number)))
    parts = {name: _column(path, table, name)[0] for name in x}
    outcome, exists = _column(path, table, y)
    flags = {} if exists.all() else {HAS_OUTCOME: exists}
    for name in x:
        there = _column(path, table, name)[1]
        if not there.all():
            raise MemUPError(f"{path}: column {name!r} is empty at row {int(there.argmin())}; only {y!r} may be")
    return _finished(str(path), parts, outcome, lengths, flags)


def _column(path: Path, table: Any, name: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """A column as an array ``[rows]`` or, where its entries are lists, ``[rows, width]``; and where it is not null."""
    import pyarrow

    column = table.column(name).combine_chunks()
    exists = column.is_valid().to_numpy(zero_copy_only=False)
    shape: tuple[int, ...] = (len(column),)
    if pyarrow.types.is_list(column.type) or pyarrow.types.is_fixed_size_list(column.type):
        values = column.flatten()
        if len(column) == 0 or len(values) % len(column) or len({len(entry) for entry in column}) != 1:
            raise MemUPError(f"{path}: the lists of column {name!r} differ in length; each step needs as many numbers")
        column, shape = values, (len(column), len(values) // len(column))
    kind = column.type
    if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)):
        raise MemUPError(f"{path}: column {name!r} holds {kind}; give numbers")
    if column.null_count:
        column = column.fill_null(False if pyarrow.types.is_boolean(kind) else 0)
    return column.to_numpy(zero_copy_only=False).reshape(shape), exists


def _check_names(path: Path, wanted: Sequence[str], there: Sequence[str]) -> None:
    for name in wanted:
        if name not in there:
            raise MemUPError(f"{path} has no {name!r}; it holds {', '.join(map(repr, there)) or 'nothing'}")


def _finished(place: str, parts: Mapping[str, Array], y: Array, lengths: IntArray, flags: Arrays) -> OwnEpisodes:
    """Join the parts of x, and put an outcome that each episode has one of at its last step."""
    steps = int(lengths.sum())
    for name, array in {**parts, "y": y}.items():
        if array.dtype.kind not in "iufb":
            raise MemUPError(f"{place}: {name!r} holds {array.dtype}; give numbers")
    for name, array in {**parts, **flags}.items():
        if len(array) != steps:
            raise MemUPError(f"{place}: {name!r} has {len(array)} steps, but the episodes have {steps} together")
    if len(y) != steps and len(y) != len(lengths):
        raise MemUPError(
            f"{place}: y has {len(y)} entries; give one for each of the {steps} steps, or one for each of the "
            f"{len(lengths)} episodes"
        )
    arrays = list(parts.values())
    x = arrays[0] if len(arrays) == 1 else np.concatenate([array.reshape(steps, -1) for array in arrays], axis=1)
    if len(y) != steps:
        last = np.cumsum(lengths) - 1
        whole = np.zeros((steps, *y.shape[1:]), y.dtype)
        whole[last] = y
        at_end = np.zeros(steps, np.bool_)
        at_end[last] = True
        y, flags = whole, {HAS_OUTCOME: at_end, EVAL_MASK: at_end.copy()} | flags
    return OwnEpisodes(x, y, lengths, {name: flag.astype(np.bool_) for name, flag in flags.items()})
