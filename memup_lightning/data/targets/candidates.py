"""The few steps of an episode that can ever be a target: its K-skyband."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from memup_lightning.typing import FloatArray, IntArray

NOWHERE = np.iinfo(np.int64).max
"""Position of a target that there is not."""
_GROWTH = 1.25  # room of arrays that are full, in what they must hold


class SuffixMaxima:
    """Candidates of several episodes, gathered while their scores come in from first step to last.

    Args:
        rows: episodes at once.
        num_targets: K.
        capacity: candidates kept for an episode. Where there are more (scores that decrease throughout), the K best stay
            and the rest is thinned evenly over the episode.
        device: where the scores are.
    """

    def __init__(self, rows: int, num_targets: int, capacity: int, device: torch.device) -> None:
        self.num_targets = num_targets
        self.capacity = max(capacity, num_targets)
        self.position = torch.zeros((rows, 0), dtype=torch.int64, device=device)
        self.score = torch.zeros((rows, 0), device=device)

    def extend(self, score: Tensor, position: Tensor) -> None:
        """Add later steps; a score of -inf marks a step that must not be chosen. Both ``[rows, steps]``."""
        score = torch.cat([self.score, score.float()], dim=1)
        position = torch.cat([self.position, position], dim=1)
        self._keep(self._candidates(score), score, position)
        if self.score.shape[1] > self.capacity:
            self._thin()

    def prune(self, score: Tensor) -> None:
        """Replace the scores of the candidates, and drop those whose score is -inf."""
        self._keep(score > -torch.inf, score, self.position)

    def _candidates(self, score: Tensor) -> Tensor:
        """Return which steps have fewer than K later ones that score as high."""
        left, later = score, score
        lowest = torch.full_like(score[:, :1], -torch.inf)
        # `later`: the largest score after each step, in the next round the second largest, at last the Kth.
        for _ in range(self.num_targets):
            best = left.flip(1).cummax(1).values.flip(1)
            later = torch.cat([best[:, 1:], lowest], dim=1)
            left = torch.minimum(left, later)  # what a larger one takes over from is the next in rank
        return score > later

    def _keep(self, keep: Tensor, score: Tensor, position: Tensor) -> None:
        """Move the candidates of each row to its front."""
        width = min(int(keep.sum(1).max()), score.shape[1])
        order = (~keep).to(torch.int8).argsort(dim=1, stable=True)[:, :width]
        self.position = position.gather(1, order)
        self.score = score.masked_fill(~keep, -torch.inf).gather(1, order)

    def _thin(self) -> None:
        width, places = self.score.shape[1], self.capacity - self.num_targets
        # Of equal scores the later one: the stable order of the flipped row.
        best = width - 1 - self.score.flip(1).sort(dim=1, descending=True, stable=True).indices[:, : self.num_targets]
        some = self.score > -torch.inf
        # The last candidate of each of `places` equal stretches of the episode so far. To thin by rank instead would
        # thin the early ones again with every block, until only late ones are left.
        seen = self.position.masked_fill(~some, 0).amax(1, keepdim=True) + 1
        stretch = (self.position * places // seen).masked_fill(~some, -1)
        last = stretch != torch.cat([stretch[:, 1:], torch.full_like(stretch[:, :1], -1)], dim=1)
        keep = ((last & (places > 0)) | (some.sum(1, keepdim=True) <= self.capacity)) & some
        keep.scatter_(1, best, True)
        order = (~keep).to(torch.int8).argsort(dim=1, stable=True)[:, : self.capacity]
        self.score = self.score.masked_fill(~keep, -torch.inf).gather(1, order)
        self.position = self.position.gather(1, order)


class Candidates:
    """The candidates of every episode, for one selector.

    Most episodes have far fewer candidates than they may have, so they are kept one after the other, without gaps between
    the episodes: 12 bytes a candidate. What an episode had before is left where it is until the arrays are full.

    Args:
        episodes: number of episodes.
        num_targets: K.
        capacity: candidates of an episode, at most.

    Attributes:
        count: candidates of each episode, ``[episodes]``.
    """

    def __init__(self, episodes: int, num_targets: int, capacity: int) -> None:
        self.num_targets = num_targets
        self.capacity = max(capacity, num_targets)
        self.count = np.zeros(episodes, np.int32)
        self._begin: IntArray = np.zeros(episodes, np.int64)  # of an episode's candidates in the arrays
        self._position: IntArray = np.zeros(1, np.int64)
        self._score: FloatArray = np.zeros(1, np.float32)
        self._end = 0  # of what is filled

    def is_empty(self) -> bool:
        """Return whether no episode has a candidate."""
        return not self.count.any()

    def replace(self, episodes: IntArray, found: SuffixMaxima) -> None:
        """Store the candidates of some episodes."""
        score = found.score.cpu().numpy()
        self.put(episodes, np.where(np.isneginf(score), NOWHERE, found.position.cpu().numpy()), score)

    def take(self, episodes: IntArray) -> tuple[IntArray, FloatArray]:
        """Return the candidates of some episodes.

        Args:
            episodes: their numbers, ``[rows]``.

        Returns:
            Steps in rising order, then :data:`NOWHERE`, and scores, then -inf; ``[rows, most candidates]`` each.
        """
        count = self.count[episodes]
        places = np.arange(max(self.num_targets, int(count.max(initial=0))))
        there = places < count[:, None]
        index = np.where(there, self._begin[episodes, None] + places, 0)
        return np.where(there, self._position[index], NOWHERE), np.where(there, self._score[index], -np.inf)

    def put(self, episodes: IntArray, position: IntArray, score: FloatArray) -> None:
        """Replace the candidates of some episodes by what :meth:`take` returned on another rank."""
        there = position != NOWHERE
        count = there.sum(axis=1)
        self.count[episodes] = 0
        if self._end + count.sum() > len(self._position):
            self._make_room(int(count.sum()))
        end = self._end + int(count.sum())
        self._position[self._end : end], self._score[self._end : end] = position[there], score[there]
        self._begin[episodes] = self._end + np.cumsum(count) - count
        self.count[episodes] = count
        self._end = end

    def _make_room(self, new: int) -> None:
        """Move the candidates to arrays that hold some more, without what was replaced."""
        count = self.count.astype(np.int64)
        kept = int(count.sum())
        begin = np.cumsum(count) - count
        index = np.repeat(self._begin - begin, count) + np.arange(kept)
        size = 1 + int(_GROWTH * (kept + new))
        for name in ("_position", "_score"):
            old = getattr(self, name)
            moved = np.empty(size, old.dtype)
            moved[:kept] = old[index]
            setattr(self, name, moved)
        self._begin, self._end = begin, kept

    def state_dict(self) -> dict[str, Tensor]:
        """Return counts, steps and scores, episode after episode."""
        self._make_room(0)
        filled = {"position": self._position[: self._end], "score": self._score[: self._end], "count": self.count}
        return {name: torch.from_numpy(x) for name, x in filled.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self._position, self._score, self.count = (state[x].numpy().copy() for x in ("position", "score", "count"))
        self._end = len(self._position)
        self._begin = np.cumsum(self.count, dtype=np.int64) - self.count
        self._make_room(0)

    def select(self, episodes: IntArray, start: IntArray) -> IntArray:
        """Return the K best candidates at or after each start, ``[rows, K]``; :data:`NOWHERE` where there are fewer."""
        position, score = self.take(episodes)
        score = self._eligible(np.where(position >= start[:, None], score, -np.inf))
        if self.num_targets == 1:
            chosen = score.argmax(axis=1)[:, None]
        else:
            # Of equal scores the later one: the stable order of the flipped row.
            chosen = score.shape[1] - 1 - np.argsort(-score[:, ::-1], axis=1, kind="stable")[:, : self.num_targets]
        out = np.take_along_axis(position, chosen, axis=1)
        return np.where(np.isneginf(np.take_along_axis(score, chosen, axis=1)), NOWHERE, out)

    def _eligible(self, score: FloatArray) -> FloatArray:
        """Return the scores of the candidates at or after the start, -inf for those that cannot be chosen too."""
        return score
