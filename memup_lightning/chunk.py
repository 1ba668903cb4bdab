"""Chunk: the input of one training step. The shapes of the whole project are defined here.

Letters: B lanes, T steps of the chunk, K targets, W steps of the local context (``TaskSpec.window``); ``...`` is the shape
of one step of a field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor

from memup_lightning.exceptions import MemUPError

Fields = dict[str, Tensor]


class _Rows:
    """Base class of dataclasses that have a row for each lane in all of their tensors."""

    valid: Tensor

    @property
    def _names(self) -> list[str]:
        """Attributes that hold tensors, or None."""
        return _names(cast(Any, type(self)))

    def map(self, function: Callable[..., Any], *others: Self) -> Self:
        """Apply a function to the tensors at the same place of this object and others, and return its results as another.
        What one of them has not (None) stays as it is here."""
        every = (self, *others)
        return replace(self, **{name: _map(function, *(getattr(x, name) for x in every)) for name in self._names})  # type: ignore[type-var]

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Return it on a device."""
        if self.valid.device == device:
            return self
        return self.map(lambda x: x.to(device, non_blocking=non_blocking))

    def split_rows(self, count: int) -> list[dict[str, Any]]:
        """Return the attributes of equal parts of the rows (views)."""
        columns = {name: _split(getattr(self, name), count) for name in self._names}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@cache
def _names(cls: Any) -> list[str]:
    return [field.name for field in fields(cls) if field.name != "step"]


def _map(function: Callable[..., Any], part: Any, *others: Any) -> Any:
    if part is None or any(other is None for other in others):
        return part
    if isinstance(part, dict):
        return {name: function(x, *(other[name] for other in others)) for name, x in part.items()}
    return part.map(function, *others) if isinstance(part, _Rows) else function(part, *others)


def _split(part: Any, count: int) -> Sequence[Any]:
    if part is None:
        return [None] * count
    if isinstance(part, dict):
        fields_of = zip(*(x.tensor_split(count) for x in part.values()), strict=True)
        return [dict(zip(part, row, strict=True)) for row in fields_of] or [{} for _ in range(count)]
    rows: Sequence[Any] = part.split(count) if isinstance(part, StepBatch) else part.tensor_split(count)
    return rows


@dataclass
class StepBatch(_Rows):
    """Single steps picked from episodes, each with its local context: targets of the memory, probes of d_psi.

    Attributes:
        position: the steps' numbers in their episodes, int64 ``[B, K]``.
        valid: False where there is no such step, or where it has no outcome, bool ``[B, K]``.
        context: c_k, each field ``[B, K, W, ...]``.
        outcome: y_k, ``[B, K, ...]``.
        eval_mask: whether the memory is evaluated at that step, bool ``[B, K]``.
        weight: of probes: how likely each would be if all steps of all episodes were equally likely, relative to how likely
            it was, float ``[B, K]``.
    """

    position: Tensor
    valid: Tensor
    context: Fields
    outcome: Tensor
    eval_mask: Tensor
    weight: Tensor | None = None

    def split(self, count: int) -> list[StepBatch]:
        """Split the rows into equal parts (views)."""
        return [StepBatch(**row) for row in self.split_rows(count)]


@dataclass
class Chunk(_Rows):
    """T consecutive steps of B lanes.

    Attributes:
        step: number of the chunk in its run (in evaluation: in its pass), from which its schedule follows.
        inputs: inputs of the memory, each field ``[B, T, ...]``.
        valid: True where a step exists, bool ``[B, T]``. Only the last chunk of an episode is short, so the steps that do
            not exist are at the end, and the state after them is never used.
        is_first: True where the chunk begins an episode, bool ``[B]``: the lane's state is reset before it.
        episode: which episode the lane plays, int64 ``[B]``; -1 where the lane has nothing left to play.
        start: number of the chunk's first step in its episode, int64 ``[B]``.
        context: fields of the steps and of the W - 1 steps before them, each ``[B, W - 1 + T, ...]``; empty in a
            training chunk whose selector has no use for the chunk's own steps.
        outcome: y of every step, ``[B, T, ...]``; where :attr:`context` is empty, so is this.
        has_outcome: where y exists, bool ``[B, T]``.
        eval_mask: where the memory is evaluated, bool ``[B, T]``.
        loss_free: lanes that play an episode from which nothing is learned, bool ``[B]``; None where there are none.
        probes: steps drawn from the lane's episode, on which the local predictor learns.
        targets: U, the steps that the memory must explain.
    """

    step: int
    inputs: Fields
    valid: Tensor
    is_first: Tensor
    episode: Tensor
    start: Tensor
    context: Fields
    outcome: Tensor
    has_outcome: Tensor
    eval_mask: Tensor
    loss_free: Tensor | None = None
    probes: StepBatch | None = None
    targets: StepBatch | None = None

    @property
    def lanes(self) -> int:
        """Number of lanes, B."""
        return self.valid.shape[0]

    @property
    def num_steps(self) -> int:
        """Number of steps, T; of lanes whose episode ends sooner, the last are not valid."""
        return self.valid.shape[1]

    def windows(self, window: int) -> Fields:
        """Return the local context of every step, each field ``[B, T, W, ...]`` (views, nothing is copied).

        Raises:
            MemUPError: a chunk without contexts.
        """
        if not self.context:
            raise MemUPError(
                "the chunk carries no context and no outcome of its own steps; a module that reads them in training "
                "returns True from needs_own_steps()"
            )
        return {name: x.unfold(1, window, 1).movedim(-1, 2) for name, x in self.context.items()}

    def split(self, steps: Sequence[int]) -> list[Chunk]:
        """Split a chunk that concatenates the rows of several steps of the run into their chunks (views)."""
        return [Chunk(step, **row) for step, row in zip(steps, self.split_rows(len(steps)), strict=True)]

    def with_lanes(self, lanes: Tensor, other: Chunk) -> Chunk:
        """Return this chunk with some lanes (int64 ``[rows]``) replaced by those of another; the probes stay."""
        return self.map(lambda x, new: x.index_copy(0, lanes, new), replace(other, probes=None))


class ClusterAssignment(NamedTuple):
    """Context cluster of some steps, and the sampling weight of each cluster.

    Attributes:
        cluster: of each step, int64 ``[rows, steps]``.
        weight: sampling weight of each cluster, ``[clusters]``; 0: it gets no targets.
    """

    cluster: Tensor
    weight: Tensor

    def rows(self, index: Tensor) -> ClusterAssignment:
        """Return the assignment of some rows."""
        return self._replace(cluster=self.cluster[index])
