"""Classes of a column of text, and names of episodes, that differ in their spelling alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_SHOWN = 5  # groups of spellings in a message
_CHANCE = 0.01  # of the episodes, whose names are alike by chance


def spelling_notes(name: str, classes: Iterable[str]) -> Iterator[str]:
    """Yield a note for the user where classes are equal but for capital letters and spaces.

    Args:
        name: of the column.
        classes: its classes, each once.
    """
    if alike := _spelled_alike(classes):
        yield (
            f"{name!r} has classes that differ in capital letters or spaces alone: {_shown(alike)}; each is a class of its "
            "own. If they mean the same, spell them alike (pandas: table[c] = table[c].str.strip().str.casefold())"
        )


def key_notes(name: str, keys: Sequence[str]) -> Iterator[str]:
    """Yield a note for the user where names of episodes are equal but for capital letters and spaces.

    Long random names may differ so by chance: of those that differ in capital letters there must be some in a hundred.

    Args:
        name: of the column of the episodes.
        keys: its values, each once.
    """
    alike = _spelled_alike(keys)
    spaced = [group for group in alike if len({" ".join(key.split()) for key in group}) < len(group)]
    if spaced or len(alike) > _CHANCE * len(keys):
        yield (
            f"{name!r} has values that differ in capital letters or spaces alone: {_shown(spaced or alike)}; each is an "
            f"episode of its own. If they mean the same, spell them alike (pandas: table[{name!r}] = "
            f"table[{name!r}].str.strip().str.casefold())"
        )


def _spelled_alike(values: Iterable[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for value in values:
        groups.setdefault(_spelled(value), []).append(value)
    return [group for group in groups.values() if len(group) > 1]


def _shown(alike: list[list[str]]) -> str:
    return "; ".join(" and ".join(map(repr, group)) for group in alike[:_SHOWN]) + "; ..." * (len(alike) > _SHOWN)


def _spelled(value: str) -> str:
    """Return a class without what spellings differ in, also in each part of ``fault=Yes & leak=no``."""
    return re.sub(r"\s*([&=])\s*", r"\1", " ".join(value.casefold().split()))
