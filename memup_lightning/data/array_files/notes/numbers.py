"""Numbers that stand for something else: codes of missing numbers, numbers of rows, columns that are always the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from memup_lightning.data.array_files.layout import Array, UserEpisodes
from memup_lightning.data.array_files.notes.leaving_out import how_to_leave_out
from memup_lightning.user_warnings import option

_MAX_COMPONENTS = 1000  # of x that are looked at
_FEWEST = 32  # rows of which something is said
_CODES = (32767, 32768, 65535, 65536, 2147483648, 4294967296)  # and all of nines; the largest as float32 has them
_SELDOM, _FEW = 0.001, 10  # share of the rows, and rows, of which fewer are no code
_ONES = 0.9  # share of the steps of 1 of a number of rows
_DENSE = 2  # numbers between the smallest and the largest id, for each id
_EXACT = 1 << 24  # float32 holds the whole numbers up to here
_SHOWN = 5  # columns in a message


def number_notes(user: UserEpisodes, y: str) -> Iterator[str]:
    """Point out inputs and outcomes that hold codes of missing numbers, and inputs that say nothing or number the rows.

    Args:
        user: what was read of the training file.
        y: name of the outcome.
    """
    columns = _components(user)
    for name, column in columns:
        if (found := _missing_codes(column)) is not None:
            yield (
                f"{found[0].format(name=repr(name))}; where it stands for a missing number, leave it empty and set "
                f"{option('data.missing', 'mask')} ({_how_to_empty(user, name, found[1])})"
            )
    if user.y.dtype.kind == "f" and user.y.ndim == 1 and (found := _missing_codes(user.outcomes)) is not None:
        how = "" if not user.columns else f" ({_how_to_empty(user, y, found[1])})"
        yield f"{found[0].format(name=repr(y))}; where it says that there is no outcome, leave y empty{how}"
    for name, column in columns:
        if _numbers_rows(column, user):
            yield (
                f"{name!r} rises from row to row over the whole file, as the number of a row does: it says which episode a "
                "step is of, and new data have numbers that were never seen; leave it out of "
                f"x{how_to_leave_out(user, [name])}"
            )
        elif _numbers_episodes(column, user):
            yield (
                f"{name!r} is another whole number in each episode, and the same in all its steps, as an id is: the "
                "training episodes are memorized by it, and it says nothing of new ones; leave it out of "
                f"x{how_to_leave_out(user, [name])}"
            )
    if same := _constant_columns(user, columns):
        shown = ", ".join(map(repr, same[:_SHOWN])) + f" and {len(same) - _SHOWN} more" * (len(same) > _SHOWN)
        one = len(same) == 1
        yield (
            f"{shown} of x {'is' if one else 'are'} the same at all steps, and {'says' if one else 'say'} nothing; leave "
            f"{'it' if one else 'them'} out of x{how_to_leave_out(user, same)}, unless new data differ there"
        )


def _components(user: UserEpisodes) -> list[tuple[str, Array]]:
    """Return name and values of the components of x; none of images, of class numbers, and of too many to look at."""
    if user.x is None or user.x.ndim > 2 or user.x.dtype.kind != "f" or len(user.x) < _FEWEST:
        return []
    columns = user.components()
    return [] if len(columns) > _MAX_COMPONENTS else columns


def _missing_codes(column: Array) -> tuple[str, list[int]] | None:
    """Find whole numbers of nines, or the last of an integer type, that come again far away from all other numbers.

    Returns:
        What was found, as the begin of a sentence with a place for the name, and the codes; None without any.
    """
    known = column[np.isfinite(column)]
    if known.size < _FEWEST or not (_is_code(known.min()) or _is_code(known.max())):
        return None
    values, counts = np.unique(known, return_counts=True)
    is_code = np.array([_is_code(value) for value in (*values[:2], *values[-2:])])
    begin, end = int(is_code[:2].cumprod().sum()), len(values) - int(is_code[2:][::-1].cumprod().sum())
    if end - begin < 2:
        return None
    low, high = float(values[begin]), float(values[end - 1])
    often = counts >= max(_FEW, _SELDOM * known.size)
    codes = [
        n
        for n in (*range(begin), *range(end, len(values)))
        if often[n] and max(low - values[n], values[n] - high) >= high - low
    ]
    if not codes:
        return None
    shown = " or ".join(f"{values[n]:.0f}" for n in codes)
    share = counts[codes].sum() / known.size
    return f"{{name}} is {shown} at {share:.1%} of the steps, and from {low:,.7g} to {high:,.7g} at all others", [
        int(values[n]) for n in codes
    ]


def _is_code(value: float) -> bool:
    size = abs(float(value))
    return size.is_integer() and size >= 99 and (size in _CODES or set(f"{size:.0f}") == {"9"})


def _how_to_empty(user: UserEpisodes, name: str, codes: Sequence[int]) -> str:
    if user.columns:
        given = codes[0] if len(codes) == 1 else list(codes)
        return f"pandas: table[{name!r}] = table[{name!r}].replace({given}, float('nan'))"
    return f"np.where({' | '.join(f'(x == {code})' for code in codes)}, np.nan, x)"


def _numbers_rows(column: Array, user: UserEpisodes) -> bool:
    """Return whether whole numbers rise by 1 at nearly each row of the file, also from one episode to the next."""
    if len(user.lengths) < 2:
        return False
    if user.order is not None:
        in_file = np.empty_like(column)
        in_file[user.order] = column
        column = in_file
    for rows in (slice(_FEWEST), slice(None)):  # the first decide nearly always
        steps = np.diff(column[rows])
        if not ((steps > 0).all() and (steps == 1).mean() >= _ONES and np.abs(column[rows]).max() < _EXACT):
            return False
    return bool((column == np.floor(column)).all())


def _numbers_episodes(column: Array, user: UserEpisodes) -> bool:
    """Return whether each episode has a whole number of its own, and few numbers lie between: a measure has many."""
    begins = np.cumsum(user.lengths) - user.lengths
    own, episodes = column[begins], len(begins)
    if episodes < _FEWEST or user.lengths.max() < 2 or not np.ptp(own) < _DENSE * episodes:  # False for NaN
        return False
    whole = (own == np.floor(own)).all() and np.abs(own).max() < _EXACT
    return bool(whole) and len(np.unique(own)) == episodes and bool((column == np.repeat(own, user.lengths)).all())


def _constant_columns(user: UserEpisodes, components: list[tuple[str, Array]]) -> list[str]:
    """Return the columns of a table that have one value at all steps; a gap is another one."""
    if not user.columns or len(user.y) < _FEWEST:
        return []
    found = {name for name, column in components if (column == column[0]).all()}
    found |= {name for name, text in user.texts.items() if (text.codes == text.codes[0]).all() and text.codes[0] >= 0}
    return [name for name in user.columns if name in found]
