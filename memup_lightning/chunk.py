"""Chunk: the input of one training step. The shapes of the whole project are defined here.

Letters: B lanes, T steps of the chunk, K targets, W steps of the local context (``TaskSpec.window``); ``...`` is the shape
of one step of a field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

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
    """

    position: Tensor
    valid: Tensor
    context: Fields
    outcome: Tensor
    eval_mask: Tensor

    def split(self, count: int) -> list[StepBatch]:
        """Split the rows into equal parts (views)."""
        return _split(self, count)

    def to(self, device: torch.device, non_blocking: bool = False) -> StepBatch:
        return _move(self, device, non_blocking)


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
        return self.valid.shape[0]

    @property
    def num_steps(self) -> int:
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
        parts = _split(self, len(steps))
        for part, step in zip(parts, steps, strict=True):
            part.step = step
        return parts

    def with_lanes(self, lanes: Tensor, other: Chunk) -> Chunk:
        """Return this chunk with some lanes (int64 ``[rows]``) replaced by those of another; the probes stay."""
        pasted = _paste(self, lanes, other)
        return replace(pasted, step=self.step, probes=self.probes)

    def to(self, device: torch.device, non_blocking: bool = False) -> Chunk:
        return _move(self, device, non_blocking)


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


T = TypeVar("T", Chunk, StepBatch)


def _move(chunk: T, device: torch.device, non_blocking: bool) -> T:
    if chunk.valid.device == device:
        return chunk
    moved: T = tree_map(chunk, Tensor, lambda x: x.to(device, non_blocking=non_blocking))
    return moved


_RECORDS = (Chunk, StepBatch)  # a tuple is faster to test for than a union, which would be built at every call


def tree_map(value: Any, leaf_type: type, function: Callable[[Any], Any]) -> Any:
    """Return the same chunk (or steps, fields, or a tuple of them) with every leaf of a type replaced."""
    # torch.utils._pytree, which is private, takes five times as long.
    if isinstance(value, leaf_type):
        return function(value)
    if isinstance(value, dict):
        return {name: tree_map(x, leaf_type, function) for name, x in value.items()}
    if isinstance(value, tuple):
        return tuple(tree_map(x, leaf_type, function) for x in value)
    if isinstance(value, _RECORDS):
        return type(value)(**{name: tree_map(x, leaf_type, function) for name, x in vars(value).items()})
    return value


def _split(value: Any, count: int) -> list[Any]:
    # Every training chunk passes here: each tensor is split once, and the parts are zipped, not mapped part by part.
    if isinstance(value, Tensor):
        return list(value.tensor_split(count))
    if isinstance(value, dict):
        parts = [_split(x, count) for x in value.values()]
        return [dict(zip(value, part, strict=True)) for part in zip(*parts, strict=True)] or [{} for _ in range(count)]
    if isinstance(value, _RECORDS):
        record = type(value)
        names, parts = list(vars(value)), [_split(x, count) for x in vars(value).values()]
        return [record(**dict(zip(names, part, strict=True))) for part in zip(*parts, strict=True)]
    return [value] * count


def _paste(chunk: T, lanes: Tensor, other: T) -> T:
    changed: dict[str, Any] = {}
    for name, value in vars(chunk).items():
        new = getattr(other, name)
        if isinstance(value, Tensor):
            changed[name] = value.index_copy(0, lanes, new)
        elif isinstance(value, dict):
            changed[name] = {key: x.index_copy(0, lanes, new[key]) for key, x in value.items()}
        elif isinstance(value, StepBatch) and new is not None:
            changed[name] = _paste(value, lanes, new)
    return replace(chunk, **changed)
