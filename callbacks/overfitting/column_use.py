"""Columns of a table on which predictions depend: what is lost where one of them is taken from another episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.data.array_files.column_checks import SINCE_PREVIOUS, column_of
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.wide_float import wide_float
from memup_lightning.modules.evaluation.estimate import FloatArray, bootstrap
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.protocols import EpisodeSplit
from memup_lightning.protocols.columns import component_names
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import BoolArray, IntArray, State

FEW_COLUMNS = 4
"""Columns of a table of which none needs to be left out."""
MUCH_FEWER = 2 / 3
"""Share of the columns, at most, where reading only those that are used is a remedy."""
_MAX_EPISODES, _MAX_STEPS = 256, 1 << 17  # that are played, some times for each column
_LENDERS = 4  # other episodes that lend their column to each
_MAX_IN_SEQUENCE = 1 << 16  # steps that are played one after the other, of all passes: some ten seconds
_SHARE, _MEMORY_SHARE = 0.02, 0.1  # of what the most important column is worth, to all predictions and to the memory


def used_columns(model: MemoryTask, split: EpisodeSplit, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns on which the predictions of other episodes depend, the most important one first.

    Importance by permutation (Breiman, "Random Forests", 2001, section 10): each column in turn is taken from another
    episode, at the same steps. What counts is the NLL that is lost, for certain. A column that was only memorized loses
    nothing: in episodes that were not trained on, its noise is as misleading as that of another episode.

    Args:
        model: in evaluation mode.
        split: episodes from which it did not learn.
        columns: of the table, which it reads.

    Returns:
        Their names; empty where the memory uses none, or where episodes are too long to be played once for each column
        (65,536 steps one after the other, in all).
    """
    episodes = _choose(split)
    passes = 0 if not len(episodes) else _MAX_IN_SEQUENCE // (int(split.lengths[episodes].max()) * len(columns))
    lenders = range(1, min(_LENDERS, passes, len(episodes) - 1) + 1)
    if not lenders:
        return ()
    plain, counts = _losses(model, split, episodes)
    if not counts.any():
        return ()
    worth: dict[str, tuple[float, float]] = {}  # of the columns that count for certain
    for column in columns:
        exchanged = [_losses(model, split, episodes, column, lender)[0] for lender in lenders]
        lost = [bootstrap(x[:, None], counts) for x in (np.mean(exchanged, axis=0) - plain).T]
        if lost[0].low > 0:
            worth[column] = lost[0].mean, lost[1].mean if lost[1].low > 0 else 0.0
    most, most_of_memory = (max((x[number] for x in worth.values()), default=0.0) for number in (0, 1))
    if not most_of_memory:
        return ()
    used = [name for name, (x, m) in worth.items() if x >= _SHARE * most or m >= _MEMORY_SHARE * most_of_memory]
    return tuple(sorted(used, key=lambda name: -worth[name][0]))


def can_leave_out(model: MemoryTask) -> bool:
    """Return whether memory and predictor read by encoders from which columns can be left out."""
    return len(_encoders(model)) == 2


def read_only(model: MemoryTask, columns: Sequence[str]) -> None:
    """Let memory and predictor read some columns alone, from now on: the features of all others are 0.

    Args:
        model: it changes; :func:`can_leave_out` is true of it.
        columns: that it reads.
    """
    for encoder, fields in _encoders(model):
        encoder.leave_out({name: ~of_columns(name, spec, columns) for name, spec in fields.items()})


def leaves_out(model: MemoryTask) -> bool:
    """Return whether memory or predictor leaves out some columns."""
    return any(bool((encoder.gain == 0).any()) for encoder, _ in _encoders(model))


def _encoders(model: MemoryTask) -> list[tuple[StepEncoder, Mapping[str, FieldSpec]]]:
    """Return those of the encoders of memory and predictor from which columns can be left out, with what they read."""
    both = (model.encoder, model.task.input_fields), (model.context_encoder.step, model.task.context_fields)
    return [
        (encoder, fields)
        for encoder, fields in both
        if isinstance(encoder, StepEncoder) and type(encoder).forward is StepEncoder.forward
    ]


def of_columns(name: str, spec: FieldSpec, columns: Sequence[str]) -> Tensor:
    """Return which components of a field were read from some columns; of a token there is one."""
    names = component_names(name, spec)
    return torch.tensor([x.removesuffix(SINCE_PREVIOUS) in columns or column_of(x) in columns for x in names])


def _choose(split: EpisodeSplit) -> IntArray:
    """Return some episodes. Lanes are ordered by length: most are lent a column by an episode that is as long at least."""
    number = min(_MAX_EPISODES, len(split.lengths))
    chosen = np.linspace(0, len(split.lengths) - 1, number).round().astype(np.int64)
    return chosen[np.cumsum(split.lengths[chosen]) <= _MAX_STEPS]


def _losses(
    model: MemoryTask, split: EpisodeSplit, episodes: IntArray, column: str | None = None, lender: int = 0
) -> tuple[FloatArray, BoolArray]:
    """Compute the NLL of the evaluated steps of each episode, in nats.

    Args:
        model: it predicts.
        split: of the episodes.
        episodes: which ones, ``[rows]``.
        column: that is taken from another episode; None: none is.
        lender: by how many rows that episode is before the one that takes it.

    Returns:
        ``[rows, 2]``: with the column exchanged everywhere, and for the memory alone; and which rows have a step that is
        evaluated, ``[rows, 1]``.
    """
    task = model.task
    state: State | None = None
    wide = wide_float(model.device)
    sums = torch.zeros(len(episodes), 2, dtype=wide, device=model.device)
    numbers = torch.zeros(len(episodes), 1, dtype=torch.int64, device=model.device)
    for chunk in split.chunks(episodes, lanes=len(episodes)):
        chunk = chunk.to(model.device)
        inputs = _exchanged(chunk.inputs, task.input_fields, column, lender)
        memory, state = model.unroll(replace(chunk, inputs=inputs), state)
        lane, _ = chunk.eval_mask.nonzero(as_tuple=True)
        nll = of_others = model.evaluated_nll(chunk, memory)
        if column is not None:
            context = _exchanged(chunk.context, task.context_fields, column, lender)
            of_others = model.evaluated_nll(replace(chunk, context=context), memory)
        sums.index_add_(0, lane, torch.stack([of_others, nll], dim=1).to(wide))
        numbers += chunk.eval_mask.sum(1, keepdim=True)
    return sums.cpu().double().numpy(), (numbers > 0).cpu().numpy()


def _exchanged(fields: Fields, specs: Mapping[str, FieldSpec], column: str | None, lender: int) -> Fields:
    """Return fields of lanes, each with a column of another lane."""
    return {name: _exchange(name, x, specs[name], column, lender) for name, x in fields.items()}


def _exchange(name: str, x: Tensor, spec: FieldSpec, column: str | None, lender: int) -> Tensor:
    if column is None:
        return x
    on = of_columns(name, spec, [column])
    if len(on) == 1:
        return x.roll(lender, 0) if on else x
    return torch.where(on.to(x.device), x.roll(lender, 0), x)
