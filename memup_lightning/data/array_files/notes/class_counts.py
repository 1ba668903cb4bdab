"""Classes of the outcome that are too rare to be learned or measured, or that are in one split alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.exceptions import counted
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import IntArray, Split
from memup_lightning.user_warnings import option

_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_FEW = 2  # outcomes of a class, in all, from which nothing can be learned
_OTHERS = 10  # episodes of other splits with an outcome: of fewer a class that is not rare may be missing
_SHOWN = 5  # classes that are named
_MANY = 100  # classes, from which on they are counted, and none is named


def class_note(
    sources: Mapping[Split, ArrayEpisodes], parts: Mapping[Split, IntArray], outcome: FieldSpec, y: str
) -> str | None:
    """Point out classes with one or two outcomes, those that the training episodes do not have, and those that they alone
    have.

    Args:
        sources: episodes of each split that has a file of its own; the others have a part of the training file.
        parts: episodes of the training file that a split has, where it shares that file.
        outcome: its specification.
        y: its name.

    Returns:
        A sentence without the name of the source; None where there is no such class.
    """
    if outcome.type != "token" or outcome.shape:
        return None
    found = [_count(sources, parts, split, outcome.classes) for split in _SPLITS]
    rows, episodes = np.stack([x.rows for x in found]), np.stack([x.episodes for x in found])
    total = rows.sum(0)
    occurring = int((total > 0).sum())
    few, unlearned = total <= _FEW, rows[0] == 0
    unmeasured = (rows[0] == total) & (sum(x.all_episodes for x in found[1:]) >= _OTHERS)
    (wrong,) = np.nonzero((total > 0) & (few | unlearned | unmeasured))
    if not len(wrong) or occurring < 2:  # of a single one other messages speak
        return None
    said = f"{len(wrong):,} of the {occurring:,} classes of {y!r} can hardly be learned or measured"
    if occurring > _MANY:
        why = "one or two outcomes, or are in the training episodes alone, or not among them"
        return f"{said}: they have {why}; group rare classes"
    order = wrong[np.argsort(total[wrong], kind="stable")]
    each = ", ".join(
        f"{_name(outcome, x)} ({', '.join(map(_amount, _SPLITS, rows[:, x], episodes[:, x]))})" for x in order[:_SHOWN]
    )
    shared = " and ".join(option(f"data.{split}") for split in _SPLITS if split not in sources)
    numbers = f"; counts and levels can be read as numbers ({option('data.y_type', 'vector')})"
    are_integers = outcome.classes > 2 and not outcome.names
    return (
        f"{said}: {each}{', ...' * (len(wrong) > _SHOWN)}; give more episodes that have such a class, join it to another "
        f"one, or leave y empty there{f' ({shared} can name files of episodes that you choose)' if shared else ''}"
        f"{numbers if are_integers else ''}"
    )


class _Counts(NamedTuple):
    """Outcomes of each class, and episodes that have one, ``[classes]`` each; episodes that have any outcome."""

    rows: IntArray
    episodes: IntArray
    all_episodes: int


def _count(
    sources: Mapping[Split, ArrayEpisodes], parts: Mapping[Split, IntArray], split: Split, classes: int
) -> _Counts:
    source = sources[split] if split in sources else sources["train"]
    exists = source.arrays[HAS_OUTCOME].astype(bool)
    y, episode = source.arrays[OUTCOME][exists], np.repeat(np.arange(len(source.lengths)), source.lengths)[exists]
    if split == "train" or split not in sources:
        inside = np.zeros(len(source.lengths), bool)
        inside[parts[split]] = True
        y, episode = y[inside[episode]], episode[inside[episode]]
    both = np.unique(episode * classes + y) % classes
    number = len(np.unique(episode))
    return _Counts(np.bincount(y, minlength=classes), np.bincount(both, minlength=classes), number)


def _name(outcome: FieldSpec, number: int) -> str:
    return repr(outcome.names[number]) if outcome.names else f"class {number}"


def _amount(split: str, rows: int, episodes: int) -> str:
    """Format how many outcomes and episodes of a class a split has."""
    if not rows:
        return f"{split} none"
    return f"{split} {counted(rows, 'outcome')} in {counted(episodes, 'episode')}"
