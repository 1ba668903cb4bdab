"""One sentence on what was read: episodes, inputs, outcomes."""

from __future__ import annotations

import numpy as np

from memup_lightning.data.array_files.encoding import MISSING, X, text_fields
from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.exceptions import counted
from memup_lightning.specs import FieldSpec, TaskSpec

_SHOWN = 5  # classes of a column
_RARE = 0.05  # share of the outcomes, below which the episodes that have a class are counted


def summarize(train: UserEpisodes, task: TaskSpec, episode: str, y: str) -> str:
    """Say what was read: episodes, inputs, outcome.

    Args:
        train: the training file.
        task: the fields that were made of it.
        episode, y: names of these columns, of a table.
    """
    if not train.columns:
        shortest, longest = int(train.lengths.min()), int(train.lengths.max())
        steps = counted(shortest, "step") if shortest == longest else f"{shortest:,} to {longest:,} steps"
        return (
            f"{counted(len(train.lengths), 'episode')} of {steps}; x: {task.fields[X]} a step; y: {task.outcome}, at "
            f"{train.num_outcomes:,} of {counted(len(train.y), 'step')}"
        )
    outcome = _classes(task.outcome) if task.outcome.type == "token" else "numbers"
    numbers = [*(task.fields[X].names if X in task.fields else ())]
    texts = [
        f"{name} ({_classes(field)}, and one for other values)" for name, field in text_fields(task.fields).items()
    ]
    if MISSING in task.fields:
        *others, last = task.fields[MISSING].names
        texts.append(f"where {', '.join(others)} and {last} are missing" if others else f"where {last} is missing")
    x = ", ".join([*numbers, *texts])
    return f"{counted(len(train.lengths), 'episode')} by {episode!r}; x: {x}; y: {y} ({outcome}{_where(train)})"


def _where(train: UserEpisodes) -> str:
    """Say where outcomes are, if not everywhere, and in how many episodes the rarest class is, if it is rare."""
    rows, count = len(train.y), train.num_outcomes
    episode = np.repeat(np.arange(len(train.lengths)), train.lengths)
    exists = train.has_outcome
    said = ""
    if count < rows:
        number = len(np.unique(episode[exists]))
        said = f", at {count:,} of {counted(rows, 'row')}" + f", in {number:,} of the episodes" * (
            number < len(train.lengths)
        )
    if train.y.dtype == np.int64 and train.y.ndim == 1 and count:
        found, counts = np.unique(train.outcomes, return_counts=True)
        least = int(counts.argmin())
        if len(found) > 1 and counts[least] < _RARE * count:
            name = repr(train.y_names[found[least]]) if train.y_names else str(found[least])
            number = len(np.unique(episode[exists & (train.y == found[least])]))
            said += f"; the rarest, {name}, at {counted(counts[least], 'row')} of {counted(number, 'episode')}"
    return said


def _classes(field: FieldSpec) -> str:
    if not field.names:
        return counted(field.classes, "class")
    shown = ", ".join(field.names[:_SHOWN]) + (", ..." if len(field.names) > _SHOWN else "")
    return f"{counted(len(field.names), 'class')}: {shown}"
