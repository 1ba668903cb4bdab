"""Replay of stored states of the memory within episodes, drawn by priority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memup_lightning.distributed import all_gather_object
from memup_lightning.models.memory import State, map_state, take
from memup_lightning.models.wide_float import wide_float
from memup_lightning.typing import IntArray

Floats = npt.NDArray[np.float64]

_DECAY = 0.8  # of the moving average of learning progress
_MIN_PRIORITY = 1e-6  # of a place without novelty or learning progress: it can still be drawn


class StateBatch(NamedTuple):
    """Places that a scan chose.

    Attributes:
        where: episode and first step of the chunk, ``[rows, 2]``.
        novelty: ``log(1 + rarity)`` of its inputs, ``[rows]``.
        states: state of the memory before the chunk, a row each, on the CPU.
    """

    where: IntArray
    novelty: Floats
    states: State


class TopKStates:
    """Chunks with the rarest inputs of episodes that are played at once, with the state before each.

    Args:
        episodes: episode of every lane, int64 ``[lanes]``; -1: none.
        count: chunks kept of an episode.
        initial: the memory's initial state of as many lanes.
    """

    def __init__(self, episodes: Tensor, count: int, initial: State) -> None:
        self.episodes = episodes
        self._rarity = torch.full(
            (len(episodes), count), -1.0, dtype=wide_float(episodes.device), device=episodes.device
        )
        self._start = torch.zeros_like(self._rarity, dtype=torch.int64)
        self._states = map_state(lambda x: x.unsqueeze(1).repeat_interleave(count, dim=1), initial)

    def candidates(self, rarity: Tensor) -> Tensor:
        """Return which of the next chunks may be kept: no other can be among the rarest of its episode.

        Args:
            rarity: of the next chunks of every lane, ``[lanes, chunks]``; < 0: no chunk.

        Returns:
            bool, ``[lanes, chunks]``; each lane's follow from its own chunks alone.
        """
        count = self._rarity.shape[1]
        # Stable: of equally rare chunks the earlier one is kept.
        every = torch.cat([self._rarity, rarity], 1)
        rarest = every.sort(dim=1, descending=True, stable=True).indices[:, :count]
        return torch.zeros_like(every, dtype=torch.bool).scatter_(1, rarest, True)[:, count:] & (rarity >= 0)

    def update(self, rarity: Tensor, start: Tensor, before: State) -> None:
        """Add the next chunk of every lane: rarity of its inputs (< 0: no chunk), its first step, the state before it."""
        least, slot = self._rarity.min(1)
        rows = (rarity > least).nonzero().squeeze(1)
        if len(rows):
            at = rows, slot[rows]
            self._rarity[at], self._start[at] = rarity[rows], start[rows]
            map_state(lambda kept, new: kept.index_put_(at, new[rows]), self._states, before)

    @property
    def found(self) -> StateBatch:
        ok = (self._rarity >= 0) & (self.episodes >= 0)[:, None]
        episode = self.episodes[:, None].expand_as(self._start)
        where = torch.stack([episode[ok], self._start[ok]], 1).cpu().numpy()
        return StateBatch(where, self._rarity[ok].log1p().cpu().numpy(), map_state(lambda x: x[ok].cpu(), self._states))


class StateReplayBuffer:
    """Places in episodes with the state that the memory had there, drawn by priority.

    All ranks hold the same snapshots in the same order.

    Attributes:
        where: episode and first step of each, ``[N, 2]``.
        created_at: update after which the state was made, ``[N]``.
        novelty: of its chunk's inputs, ``[N]``.
        learning_progress: how far the loss on the far targets fell within its chunk, a moving average over visits, ``[N]``.
        states: of the memory before the chunk, a row each, on the CPU.
    """

    def __init__(self) -> None:
        self.where: IntArray = np.zeros((0, 2), np.int64)
        self.created_at: IntArray = np.zeros(0, np.int64)
        self.novelty: Floats = np.zeros(0)
        self.learning_progress: Floats = np.zeros(0)
        self.states: State = ()
        # Since the last settling: learning_progress summed over visits, number of visits.
        self._recorded = torch.zeros(2, 0)

    def __len__(self) -> int:
        return len(self.where)

    @property
    def priority(self) -> Floats:
        """Sampling weight of each snapshot for :meth:`draw`, ``[N]``."""
        return self.novelty + self.learning_progress + _MIN_PRIORITY

    def draw(self, uniform: Floats) -> IntArray:
        """Draw snapshots, one for each uniform number from [0, 1), and return their numbers."""
        share = np.cumsum(self.priority)
        numbers: IntArray = np.minimum(np.searchsorted(share, uniform * share[-1], side="right"), len(share) - 1)
        return numbers

    def state(self, numbers: IntArray) -> State:
        """Return the states of some snapshots, a row each."""
        return take(self.states, torch.from_numpy(numbers))

    def record(self, numbers: IntArray, learning_progress: Tensor) -> None:
        """Record the learning progress of the first chunk of some visits, for the next :meth:`update_priorities`."""
        device = learning_progress.device
        self._recorded, at = self._recorded.to(device), torch.from_numpy(numbers).to(device, non_blocking=True)
        self._recorded.index_add_(
            1, at, torch.stack([learning_progress, torch.ones_like(learning_progress)]).to(self._recorded)
        )

    def update_priorities(self) -> None:
        """Update the priorities by the records of all ranks."""
        total, visits = np.sum(all_gather_object(self._recorded.cpu().double().numpy()), axis=0)
        now = _DECAY * self.learning_progress + (1 - _DECAY) * total / np.maximum(visits, 1)
        self.learning_progress = np.where(visits > 0, now, self.learning_progress)
        self._recorded.zero_()

    def refresh(self, found: Sequence[StateBatch], now: int, oldest: int) -> None:
        """Replace snapshots by those of a scan.

        Args:
            found: places; they replace all of the same episodes.
            now: update after which they were found.
            oldest: snapshots whose ``created_at`` is before this update are dropped.
        """
        self.update_priorities()
        found = [part for part in found if len(part.where)]
        where = np.concatenate([part.where for part in found]) if found else self.where[:0]
        stay = np.flatnonzero(~np.isin(self.where[:, 0], where[:, 0]) & (self.created_at >= oldest))
        learning_progress = np.zeros(len(where))  # a place that is found again keeps its learning progress
        _, again, before = np.intersect1d(_key(where), _key(self.where), assume_unique=True, return_indices=True)
        learning_progress[again] = self.learning_progress[before]
        where = np.concatenate([self.where[stay], where])
        order = np.argsort(_key(where))
        states = [*([self.state(stay)] if len(stay) else []), *(part.states for part in found)]
        self.where = where[order]
        self.created_at = np.concatenate([self.created_at[stay], np.full(len(learning_progress), now)])[order]
        self.novelty = np.concatenate([self.novelty[stay], *(part.novelty for part in found)])[order]
        self.learning_progress = np.concatenate([self.learning_progress[stay], learning_progress])[order]
        joined = map_state(lambda *parts: torch.cat(parts), *states) if states else ()
        self.states = take(joined, torch.from_numpy(order))
        self._recorded = self._recorded.new_zeros(2, len(order))

    def state_dict(self) -> dict[str, Any]:
        arrays = {name: torch.from_numpy(getattr(self, name)) for name in _ARRAYS}
        return {**arrays, "states": self.states, "recorded": self._recorded.cpu()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in _ARRAYS:
            setattr(self, name, state_dict[name].numpy().copy())
        self.states, self._recorded = map_state(lambda x: x.cpu(), state_dict["states"]), state_dict["recorded"]


_ARRAYS = ("where", "created_at", "novelty", "learning_progress")


def _key(where: IntArray) -> IntArray:
    """Compute a number for each place, equal for equal places."""
    key: IntArray = where[:, 0] << 40 | where[:, 1]
    return key
