"""The few steps of an episode that can ever be a target: its K-skyband."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from memup_lightning.typing import FloatArray, IntArray

NOWHERE = np.iinfo(np.int64).max
"""Position of an empty place in a :class:`Candidates` table."""


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

    Attributes:
        position: steps in rising order, ``[episodes, capacity]``; :data:`NOWHERE` in empty places.
        score: their scores, ``[episodes, capacity]``; -inf in empty places.
    """

    def __init__(self, episodes: int, num_targets: int, capacity: int) -> None:
        self.num_targets = num_targets
        self.position: IntArray = np.full((episodes, max(capacity, num_targets)), NOWHERE)
        self.score: FloatArray = np.full(self.position.shape, -np.inf, np.float32)
        self._used = num_targets  # few episodes fill their places: what is empty in all of them need not be searched

    def is_empty(self) -> bool:
        """Return whether no episode has a candidate."""
        return bool((self.position[:, 0] == NOWHERE).all())

    def replace(self, episodes: IntArray, found: SuffixMaxima) -> None:
        """Store the candidates of some episodes."""
        score = found.score.cpu().numpy()
        self.put(episodes, np.where(np.isneginf(score), NOWHERE, found.position.cpu().numpy()), score)

    def take(self, episodes: IntArray) -> tuple[IntArray, FloatArray]:
        """Return the positions and scores of some episodes, without the places that are empty in all of them."""
        position = self.position[episodes]
        used = _places(position)
        return position[:, :used], self.score[episodes, :used]

    def put(self, episodes: IntArray, position: IntArray, score: FloatArray) -> None:
        """Store the result of :meth:`take` from another rank."""
        self.score[episodes] = -np.inf
        self.position[episodes] = NOWHERE
        self.score[episodes, : score.shape[1]] = score
        self.position[episodes, : score.shape[1]] = position
        self._used = max(self._used, _places(position))

    def load(self, position: IntArray, score: FloatArray) -> None:
        """Take over the tables of a checkpoint."""
        self.position, self.score = position, score
        self._used = max(self.num_targets, _places(position))

    def select(self, episodes: IntArray, start: IntArray) -> IntArray:
        """Return the K best candidates at or after each start, ``[rows, K]``; :data:`NOWHERE` where there are fewer."""
        position, score = self.position[episodes, : self._used], self.score[episodes, : self._used]
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


def _places(position: IntArray) -> int:
    """Return the places of a table that at least one episode fills."""
    return int((position != NOWHERE).sum(axis=1).max(initial=0))
