"""Users' own episodes: npz, parquet, Arrow and csv files, or a function that yields them.

``npz``, ``tables`` and ``function`` read the three forms; ``columns`` converts and checks values; ``layout`` holds what is
read. ``fields`` and ``encoding`` make the fields of episodes of it, ``column_checks`` compares it with what a model was
trained on, ``summary`` says it in a sentence. ``notes`` looks for mistakes of the user.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonargparse.typing import register_type

from memup_lightning.data.array_files.columns import convert_type
from memup_lightning.data.array_files.function import EpisodeFunction, read_function
from memup_lightning.data.array_files.layout import TABLE_SUFFIXES, Columns, UserEpisodes
from memup_lightning.data.array_files.npz import read_npz
from memup_lightning.exceptions import MemUPError, check_effect

__all__ = [
    "Columns",
    "EpisodeFunction",
    "EpisodePath",
    "UserEpisodes",
    "convert_type",
    "episode_source",
    "read_episodes",
]

_SUFFIXES = (".npz", *TABLE_SUFFIXES)


class EpisodePath(str):
    """Path of a file, folder or pattern, which the command line distinguishes from the import path of a function.

    A path ends in a known suffix, contains a slash or an asterisk, or names what exists.
    """

    @classmethod
    def read(cls, text: Any) -> EpisodePath:
        if not isinstance(text, str) or not (
            Path(text).suffix.lower() in _SUFFIXES
            or any(x in text for x in (*"*/", os.sep))
            or Path(text).expanduser().exists()
        ):
            raise ValueError(f"{text}: not the path of a file or folder")
        return cls(text)


register_type(EpisodePath, serializer=lambda path: str(EpisodePath.read(path)), deserializer=EpisodePath.read)


def episode_source(name: str, source: Any) -> EpisodeFunction | str | None:
    """Return a path as text, or the function.

    Args:
        name: of the argument, for the message.
        source: what the user gave.

    Raises:
        MemUPError: anything else, such as a table or arrays in memory.
    """
    if isinstance(source, os.PathLike):
        return str(os.fspath(source))
    if source is None or isinstance(source, str):
        return source
    if callable(source):
        function: EpisodeFunction = source
        return function
    raise MemUPError(
        f"{name} is a {type(source).__name__}; give the path of a file (a table: table.to_parquet(path); arrays: "
        "np.savez(path, x=x, y=y)), or a function that yields (x, y) for each episode"
    )


def read_episodes(source: str | EpisodeFunction, columns: Columns) -> UserEpisodes:
    """Read all episodes of a file, several files or a function.

    Args:
        source: path of a ``.npz``, ``.parquet``, ``.arrow``, ``.feather`` or ``.csv`` file; a folder of parquet files
            (partitioned or not); a pattern such as ``data/*.parquet``; or the function.
        columns: what is read, and as which type.

    Raises:
        MemUPError: no such file, array or column, a damaged file, values that cannot be read, lengths that disagree.
    """
    if columns.y_parts and (not isinstance(source, str) or source.endswith(".npz")):
        raise MemUPError(
            f"{source}: y={list(columns.y_parts)} names several arrays, and only columns of a table are joined; give one "
            "array of shape [steps, numbers]"
        )
    if columns.time is not None and (not isinstance(source, str) or source.endswith(".npz")):
        raise MemUPError(f"time={columns.time!r} sorts the rows of tables, and {source} is none; leave it out")
    if not isinstance(source, str) or source.endswith(".npz"):
        check_effect("episode", columns.episode, "episode", f"where no table is read: {source} has whole episodes")
    if not isinstance(source, str):
        return read_function(source, columns)
    path = Path(source).expanduser()
    if path.is_file():
        files, base = [path], None
    elif path.is_dir():
        files, base = _in_order(path.rglob("*.parquet")), path
        if not files:
            raise MemUPError(f"{source}: the folder holds no .parquet file; give a folder of parquet files or one file")
    else:
        files, base = _in_order(Path(name) for name in glob.glob(str(path), recursive=True)), None
        if not files:
            raise MemUPError(
                f"{source}: no such file, and no function of that name can be imported; give a file "
                f"({', '.join(_SUFFIXES)}), a folder of parquet files, a pattern such as 'data/*.parquet', or the import "
                "path of a function that yields (x, y)"
            )
    suffixes = sorted({file.suffix.lower() for file in files})
    if len(suffixes) > 1 or suffixes[0] not in _SUFFIXES:
        raise MemUPError(
            f"{source}: files of type {', '.join(suffix or 'without ending' for suffix in suffixes)} cannot be read; give "
            f"one of {', '.join(_SUFFIXES)}"
        )
    if suffixes[0] != ".npz":
        try:
            from memup_lightning.data.array_files.tables.files import TableFiles
            from memup_lightning.data.array_files.tables.table import read_tables  # pyarrow is an extra
        except ImportError as error:
            raise MemUPError(f"{source} needs pyarrow: pip install 'memup-lightning[arrow]' ({error})") from error
        return read_tables(source, lambda: TableFiles(files, base), columns)
    if len(files) > 1:
        raise MemUPError(
            f"{source}: {len(files)} npz files; several files can be read as tables only, join these into one"
        )
    return read_npz(files[0], columns)


def _in_order(files: Iterable[Path]) -> list[Path]:
    """Sort paths by name, with the numbers in them by value: part-2 before part-10. Hidden files are left out."""
    visible = (file for file in files if file.is_file() and not file.name.startswith(("_", ".")))
    return sorted(visible, key=lambda file: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", str(file))])
