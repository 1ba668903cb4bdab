"""Chunk: the input of one training step. The shapes of the whole project are defined here.

Letters: B lanes, T steps of the chunk, K targets, W steps of the local context (``TaskSpec.window``); ``...`` is the shape
of one step of a field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memup_lightning.exceptions import MemUPError

Fields = dict[str, Tensor]


@dataclass
class StepBatch:
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

    def map(self, function: Callable[..., Any], *others: StepBatch) -> StepBatch:
        """Apply a function to the tensors at the same place of these steps and others, and return its results as steps."""
        return StepBatch(
            function(self.position, *(x.position for x in others)),
            function(self.valid, *(x.valid for x in others)),
            _map_fields(function, self.context, *(x.context for x in others)),
            function(self.outcome, *(x.outcome for x in others)),
            function(self.eval_mask, *(x.eval_mask for x in others)),
            None if self.weight is None else function(self.weight, *(x.weight for x in others)),
        )

    def split(self, count: int) -> list[StepBatch]:
        """Split the rows into equal parts (views)."""
        columns = zip(
            self.position.tensor_split(count),
            self.valid.tensor_split(count),
            _split_fields(self.context, count),
            self.outcome.tensor_split(count),
            self.eval_mask.tensor_split(count),
            [None] * count if self.weight is None else self.weight.tensor_split(count),
            strict=True,
        )
        return [StepBatch(*row) for row in columns]

    def to(self, device: torch.device, non_blocking: bool = False) -> StepBatch:
        """Return the steps on a device."""
        if self.valid.device == device:
            return self
        return self.map(lambda x: x.to(device, non_blocking=non_blocking))


@dataclass
class Chunk:
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

    def map(self, function: Callable[..., Any], *others: Chunk) -> Chunk:
        """Apply a function to the tensors at the same place of this chunk and others, and return its results as a chunk.
        What one of them has not (:attr:`loss_free`, :attr:`probes`, :attr:`targets`) stays as it is here."""
        loss_free, probes, targets = ([getattr(x, name) for x in (self, *others)] for name in _OPTIONAL)
        return Chunk(
            self.step,
            _map_fields(function, self.inputs, *(x.inputs for x in others)),
            function(self.valid, *(x.valid for x in others)),
            function(self.is_first, *(x.is_first for x in others)),
            function(self.episode, *(x.episode for x in others)),
            function(self.start, *(x.start for x in others)),
            _map_fields(function, self.context, *(x.context for x in others)),
            function(self.outcome, *(x.outcome for x in others)),
            function(self.has_outcome, *(x.has_outcome for x in others)),
            function(self.eval_mask, *(x.eval_mask for x in others)),
            loss_free[0] if _lacks(loss_free) else function(*loss_free),
            probes[0] if _lacks(probes) else probes[0].map(function, *probes[1:]),
            targets[0] if _lacks(targets) else targets[0].map(function, *targets[1:]),
        )

    def split(self, steps: Sequence[int]) -> list[Chunk]:
        """Split a chunk that concatenates the rows of several steps of the run into their chunks (views)."""
        count = len(steps)
        none = [None] * count
        columns = zip(
            steps,
            _split_fields(self.inputs, count),
            self.valid.tensor_split(count),
            self.is_first.tensor_split(count),
            self.episode.tensor_split(count),
            self.start.tensor_split(count),
            _split_fields(self.context, count),
            self.outcome.tensor_split(count),
            self.has_outcome.tensor_split(count),
            self.eval_mask.tensor_split(count),
            none if self.loss_free is None else self.loss_free.tensor_split(count),
            none if self.probes is None else self.probes.split(count),
            none if self.targets is None else self.targets.split(count),
            strict=True,
        )
        return [Chunk(*row) for row in columns]

    def with_lanes(self, lanes: Tensor, other: Chunk) -> Chunk:
        """Return this chunk with some lanes (int64 ``[rows]``) replaced by those of another; the probes stay."""
        return self.map(lambda x, new: x.index_copy(0, lanes, new), replace(other, probes=None))

    def to(self, device: torch.device, non_blocking: bool = False) -> Chunk:
        """Return the chunk on a device."""
        if self.valid.device == device:
            return self
        return self.map(lambda x: x.to(device, non_blocking=non_blocking))


_OPTIONAL = ("loss_free", "probes", "targets")


def _lacks(parts: list[Any]) -> bool:
    return any(part is None for part in parts)


def _map_fields(function: Callable[..., Any], *fields: Fields) -> Fields:
    return {name: function(*(x[name] for x in fields)) for name in fields[0]}


def _split_fields(fields: Fields, count: int) -> list[Fields]:
    parts = zip(*(x.tensor_split(count) for x in fields.values()), strict=True)
    return [dict(zip(fields, part, strict=True)) for part in parts] or [{} for _ in range(count)]


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
