"""Classes of a column of text that differ in their spelling alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_SHOWN = 5  # groups of spellings in a message


def spelling_notes(name: str, classes: Iterable[str]) -> Iterator[str]:
    """Yield a note for the user where classes are equal but for capital letters and spaces.

    Args:
        name: of the column.
        classes: its classes, each once.
    """
    groups: dict[str, list[str]] = {}
    for value in classes:
        groups.setdefault(_spelled(value), []).append(value)
    if alike := [group for group in groups.values() if len(group) > 1]:
        shown = "; ".join(" and ".join(map(repr, group)) for group in alike[:_SHOWN]) + "; ..." * (len(alike) > _SHOWN)
        yield (
            f"{name!r} has classes that differ in capital letters or spaces alone: {shown}; each is a class of its own. If "
            "they mean the same, spell them alike (pandas: table[c] = table[c].str.strip().str.casefold())"
        )


def _spelled(value: str) -> str:
    """Return a class without what spellings differ in, also in each part of ``fault=Yes & leak=no``."""
    return re.sub(r"\s*([&=])\s*", r"\1", " ".join(value.casefold().split()))
