"""Episodes in tables: parquet, Arrow and csv files, or tables in memory, read batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from memup_lightning.data.array_files.column_checks import SINCE_PREVIOUS
from memup_lightning.data.array_files.columns import finish, whole_from_zero
from memup_lightning.data.array_files.layout import Array, Columns, Layout, TextColumn, UserEpisodes
from memup_lightning.data.array_files.tables.columns import ColumnReader
from memup_lightning.data.array_files.tables.episodes import find_episodes
from memup_lightning.data.array_files.tables.files import TableColumns, column_content, readable
from memup_lightning.data.array_files.tables.several_outcomes import JoinedColumns
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME
from memup_lightning.exceptions import MemUPError, counted, no_such_name
from memup_lightning.typing import BoolArray
from memup_lightning.user_warnings import option

_FLAGS = (HAS_OUTCOME, EVAL_MASK)
_PANDAS_INDEX = "__index_level_"  # how the names of indices begin that pandas added


def read_tables(source: str, open_tables: Callable[[], TableColumns], columns: Columns) -> UserEpisodes:
    """Read all episodes of a table.

    Args:
        source: as the user gave it, for messages.
        open_tables: opens the files.
        columns: what is read.

    Raises:
        MemUPError: as :func:`~memup_lightning.data.array_files.read_episodes` does.
    """
    with readable(source):
        tables = open_tables()
        if columns.y_parts and not (columns.may_lack_y and set(columns.y_parts) - set(tables.types)):
            _check_columns(source, tables, columns.y_parts, columns)
            numbers = columns.y_type == "vector"
            tables = JoinedColumns(tables, columns.y_parts, str(columns.y), source, numbers)
        time = () if columns.time is None else (columns.time,)
        y_name = columns.y if not columns.may_lack_y or _holds_any(tables, columns.y) else None
        names = (*(columns.x or ()), *filter(None, (y_name,)), columns.episode, *time)
        _check_columns(source, tables, names, columns)
        x_names = _inputs(source, tables, columns)
        if not any(len(batch) for _, batch in tables.column(columns.episode)):
            raise MemUPError(f"{source} has columns but no row; give a file with steps")
        layout, keys, notes = find_episodes(source, tables, columns.episode, columns.time)
        single = int((layout.lengths == 1).sum())
        if len(keys) > single > len(keys) / 2 and not columns.may_lack_y:
            notes.append(
                f"{single:,} of the {counted(len(keys), 'episode')} by {columns.episode!r} have a single row, in which "
                "there is nothing to remember; if another column says which rows belong together, name it "
                f"({option('data.episode')})"
            )
        if columns.x is None:
            left_out = tables.left_out.items()
            notes += [
                f"{name!r} of {file} is not read, since the first file does not have it" for name, file in left_out
            ]
        reader = ColumnReader(tables, layout, columns.missing, x_names)
        contents = {name: "time" if name == columns.time else column_content(tables.types[name]) for name in x_names}
        x, names = _numbers(reader, [name for name in x_names if contents[name] != "text"], contents, columns, notes)
        texts = {name: reader.text(name, columns.missing) for name in x_names if contents[name] == "text"}
        at = [name for name in dict.fromkeys((*x_names, *time)) if contents.get(name, "time") == "time"]
        if at and (number := _repeated_rows(reader, at, x, names, texts)):
            where = "the row before" if columns.time is not None else "another row of the episode"
            notes.append(
                f"{counted(number, 'row')} with all that is in {where}, time ({at[0]!r}) included; if a file or an episode "
                "is there twice, drop them (pandas: table.drop_duplicates())"
            )
        y, exists, y_names = _outcome(reader, y_name, columns, notes)
        flags = reader.flags([name for name in _FLAGS if name in tables.types]) if y_name is not None else {}
        absent = flags.get(HAS_OUTCOME, exists) & ~exists
        if absent.any():
            raise MemUPError(
                f"{source}: {HAS_OUTCOME!r} is true, but {columns.y!r} is empty in {layout.place(int(absent.argmax()))}; "
                "give the outcome or say that there is none"
            )
        if not exists.all():
            flags.setdefault(HAS_OUTCOME, exists)
        for text in texts.values():
            text.codes = layout.group(text.codes)
        flags = {name: layout.group(flag) for name, flag in flags.items()}
        user = finish(layout, x, layout.group(y), flags, one_an_episode=False, may_lack_y=y_name is None)
        user.columns, user.x_names, user.texts = tuple(x_names), names, texts
        user.y_names, user.keys, user.notes, user.order = y_names, keys, notes, layout.order
        return user


def _check_columns(source: str, tables: TableColumns, names: Sequence[str], columns: Columns) -> None:
    for name in names:
        if name not in tables.types:
            advice = ""
            if name == columns.episode:
                what = "the column that says which episode a row belongs to"
                advice = f"; {option('data.episode')} names {what}"
                if columns.may_lack_y:
                    advice = f"; in the training data it is {what}: add it, or name yours so"
            elif name == columns.y == "y":
                advice = f"; {option('data.y')} names the column of the outcome"
            raise MemUPError(no_such_name(source, name, tables.types) + advice)


def _holds_any(tables: TableColumns, name: str | None) -> bool:
    """Return whether there is a column of this name that is not empty in every row."""
    return (
        name is not None
        and name in tables.types
        and any(column.null_count < len(column) for _, column in tables.column(name))
    )


def _inputs(source: str, tables: TableColumns, columns: Columns) -> list[str]:
    """Return the columns of x: those that are named, or all that are nothing else, but no index that pandas added."""
    if columns.x is not None:
        return list(columns.x)
    others = {columns.y, *columns.y_parts, columns.episode, *_FLAGS}
    names = [name for name in tables.types if name and name not in others and not name.startswith(_PANDAS_INDEX)]
    if not names:
        raise MemUPError(
            f"{source} holds {', '.join(map(repr, tables.types))}, and no column that the memory could read; add one"
        )
    return names


def _numbers(
    reader: ColumnReader, names: list[str], contents: Mapping[str, str], columns: Columns, notes: list[str]
) -> tuple[Array | None, tuple[str, ...]]:
    """Read the columns of x that hold no text, joined, in the order of the episodes; and what their components are."""
    if not names:
        return None, ()
    layout = reader.layout
    times = [name for name in names if contents[name] == "time"]
    if times and columns.x_type != "vector":
        raise MemUPError(
            f"{reader.source}: x_type={columns.x_type}, but {times[0]!r} holds times, which are numbers; leave it out of x"
        )
    x, components = reader.numbers(names, columns.x_type, times)
    x = layout.group(x)
    if not columns.may_lack_y:  # else it was said in training
        notes += reader.notes
    for name in names:
        if contents[name] == "time":
            seconds = _since_previous(layout.group(reader.seconds(name)), layout)
            if name != columns.time and layout.rows > len(layout.lengths) and not seconds.any():
                notes.append(
                    f"{name!r} is the same in all rows of each episode, and its input, the seconds since the row before, 0 "
                    "at all steps; leave it out of x"
                )
            if (seconds < 0).any():
                how = "sort" if columns.may_lack_y else f"{option('data.time', name)} sorts"
                notes.append(f"{name!r} goes back in time within an episode; {how} the rows by it")
            x.reshape(len(x), -1)[:, components[name]] = seconds[:, None]
    labels: list[str] = []
    for name in names:
        width = components[name].stop - components[name].start
        label = name + SINCE_PREVIOUS if contents[name] == "time" else name
        labels += [label] if width == 1 else [f"{name}[{number}]" for number in range(width)]
    return x, tuple(labels) if x.ndim <= 2 else (names[0],)


def _since_previous(seconds: Array, layout: Layout) -> Array:
    """Return the time since the step before, 0 at the first of an episode."""
    out = np.diff(seconds, prepend=seconds[:1])
    out[layout.offsets[:-1]] = 0
    return out


def _repeated_rows(
    reader: ColumnReader, times: list[str], x: Array | None, names: Sequence[str], texts: Mapping[str, TextColumn]
) -> int:
    """Return how many rows are, in all that is read, the row before them of the same episode, in the order of time."""
    layout = reader.layout
    seconds = [layout.group(reader.seconds(name)) for name in times]
    same = np.ones(layout.rows, np.bool_)
    same[layout.offsets[:-1]] = False  # each of which begins an episode
    order = np.arange(layout.rows)
    if any((np.diff(at)[same[1:]] < 0).any() for at in seconds):
        order = np.lexsort((*seconds[::-1], np.repeat(np.arange(len(layout.lengths)), layout.lengths)))
    for at in seconds:
        same[1:] &= np.diff(at[order]) == 0
    places = np.flatnonzero(same)  # few: times differ
    rows, befores = order[places], order[places - 1]
    if x is not None and rows.size:
        flat = x.reshape(len(x), -1)
        others = [number for number, name in enumerate(names) if not name.endswith(SINCE_PREVIOUS)]
        if others:
            here, before = flat[rows][:, others], flat[befores][:, others]
            alike = ((here == before) | ((here != here) & (before != before))).all(1)
            rows, befores = rows[alike], befores[alike]
    for text in texts.values():
        codes = layout.group(text.codes)
        alike = codes[rows] == codes[befores]
        rows, befores = rows[alike], befores[alike]
    return len(rows)


def _outcome(
    reader: ColumnReader, name: str | None, columns: Columns, notes: list[str]
) -> tuple[Array, BoolArray, tuple[str, ...]]:
    """Read y, where it exists, and the names of its classes where it holds text."""
    if name is None:
        rows = reader.layout.rows
        return np.zeros(rows, np.float32), np.zeros(rows, np.bool_), ()
    if column_content(reader.tables.types[name]) == "text":
        if columns.y_type == "vector":
            raise MemUPError(
                f"{reader.source}: y_type=vector, but {name!r} holds text; leave y_type out to read classes"
            )
        text = reader.text(name, may_be_null=True)
        exists, order = text.codes >= 0, np.argsort(text.values)
        if not exists.any():
            raise MemUPError(f"{reader.source}: column {name!r} is empty in every row; give outcomes")
        classes = np.append(np.argsort(order), 0)[text.codes]
        return classes, exists, tuple(text.values[number] for number in order)
    y, exists = reader.y(name, columns.y_type)
    if columns.y_type is None and y.dtype == np.float32 and y.ndim == 1 and not exists.all():
        classes_found = whole_from_zero(y[exists])
        if classes_found > 1:
            notes.append(
                f"{name!r} has gaps and holds whole numbers from 0 to {classes_found - 1}, which are read as classes "
                f"({option('data.y_type', 'vector')} reads numbers)"
            )
            return y.astype(np.int64), exists, ()
    return y, exists, ()
