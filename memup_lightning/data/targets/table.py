"""Which steps the memory must explain: uncertainty per step -> U_t.

``U_t`` is the set of the K best-scored steps at or after t (MemUP, NeurIPS 2022, section 3). It must be available for
every t of every episode, and an episode may have a million steps. Only few steps can ever be in it: a step counts for
some t only if fewer than K later steps score as high. Those *candidates* (the K-skyband of the episode, about
K ln T of T steps) are found in one pass over the scores, a block at a time, and are all that is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memup_lightning.chunk import ClusterAssignment
from memup_lightning.data.targets.candidates import Candidates, SuffixMaxima
from memup_lightning.data.targets.explainable import ClusterCandidates, ClusterMaxima
from memup_lightning.data.targets.scores import check_scores
from memup_lightning.data.targets.selectors import Scorable, Selector
from memup_lightning.exceptions import MemUPError, counted, user_code
from memup_lightning.typing import FloatArray, IntArray
from memup_lightning.user_warnings import option, warn_user


class TargetTable:
    """The targets of every episode of a source, as the last refresh left them.

    Args:
        selector: how targets are chosen.
        episodes: number of episodes.
        capacity: candidates kept for each episode; by default 64, or 8 K where that is more. There are about K ln T of
            them in T steps.

    Attributes:
        num_refreshes: number of refreshes so far; 0: nothing was selected yet.
        scored: which episodes have targets, bool ``[episodes]``.
    """

    def __init__(self, selector: Selector, episodes: int, capacity: int | None = None) -> None:
        self.selector = selector
        self.capacity = capacity or max(64, 8 * selector.num_targets)
        self.num_refreshes = 0
        self.scored: npt.NDArray[np.bool_] = np.zeros(episodes, np.bool_)
        kept = ClusterCandidates if selector.one_per_cluster else Candidates
        self.candidates = kept(episodes, selector.num_targets, self.capacity)

    def empty(self, episodes: int) -> TargetTable:
        """Return a table of the same selector, at the same refresh, for other episodes."""
        table = TargetTable(self.selector, episodes, self.capacity)
        table.num_refreshes = self.num_refreshes
        return table

    def collect(self, episodes: IntArray, device: torch.device, of_classes: bool = False) -> TargetCollector:
        """Begin to collect the candidates of some episodes at once; of outcomes that are classes, or numbers."""
        return TargetCollector(self, episodes, device, of_classes)

    def complete_refresh(self) -> None:
        """Let chunks have the targets that were collected since the previous refresh; warn where none was selected."""
        self.num_refreshes += 1
        if self.selects_nothing():
            warn_user(
                f"{type(self.selector).__name__} selected no step of {counted(int(self.scored.sum()), 'episode')}, so "
                "a memory has no targets to learn from; a score of -inf marks a step that must not be chosen"
            )

    def selects_nothing(self) -> bool:
        """Return whether the selector could choose targets, and chose none in any scored episode."""
        return bool(self.selector.num_targets and self.scored.any()) and self.candidates.is_empty()

    def select(self, episodes: IntArray, start: IntArray) -> IntArray:
        """Select targets of chunks that begin at ``start``, ``[rows, num_targets]``; ``NOWHERE`` where there are fewer."""
        if not self.selector.num_targets:
            return np.zeros((len(episodes), 0), np.int64)
        return self.candidates.select(episodes, start)

    def take(self, episodes: IntArray) -> tuple[IntArray, FloatArray]:
        """Return the candidates of some episodes, for :meth:`put` on another rank."""
        return self.candidates.take(episodes)

    def put(self, episodes: IntArray, rows: tuple[IntArray, FloatArray]) -> None:
        """Store candidates from another rank."""
        self.candidates.put(episodes, *rows)
        self.scored[episodes] = True

    def state_dict(self) -> dict[str, Any]:
        """Return the targets, as a checkpoint keeps them."""
        return {
            "num_refreshes": self.num_refreshes,
            "scored": torch.from_numpy(self.scored),
            "capacity": self.candidates.capacity,
            "candidates": self.candidates.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the targets of a checkpoint.

        Raises:
            MemUPError: they are of other episodes, or of a selector with other targets.
        """
        shape, expected = (len(state["scored"]), state["capacity"]), (len(self.scored), self.candidates.capacity)
        if shape != expected:
            raise MemUPError(
                f"the checkpoint holds targets of shape {shape}, this run's selector and episodes need {expected}; "
                f"resume with the same selector and number of episodes, or start without {option('ckpt_path')}"
            )
        self.num_refreshes = state["num_refreshes"]
        self.scored = state["scored"].numpy().copy()
        self.candidates.load_state_dict(state["candidates"])


class TargetCollector:
    """Scores that are collected for a :class:`TargetTable`; the table changes only at :meth:`finish`."""

    def __init__(self, table: TargetTable, episodes: IntArray, device: torch.device, of_classes: bool) -> None:
        self.table = table
        self.of_classes = of_classes
        self.episodes = episodes
        self._episodes = torch.from_numpy(episodes).to(device)
        kept = ClusterMaxima if table.selector.one_per_cluster else SuffixMaxima
        self.found = kept(len(episodes), table.selector.num_targets, table.capacity, device)

    def extend(
        self, uncertainty: Tensor, position: Tensor, selectable: Tensor, clusters: ClusterAssignment | None = None
    ) -> None:
        """Add the next steps of all episodes, each ``[rows, steps]``; unselectable steps never become targets."""
        steps = Scorable(uncertainty, self._episodes, position, self.table.num_refreshes, clusters, self.of_classes)
        selector = self.table.selector
        name = f"{type(selector).__name__}.score"
        with user_code(name, "it takes steps, with their uncertainty [rows, steps], and returns a score for each"):
            score = selector.score(steps)
        score = check_scores(name, score, selectable, self._episodes, position)
        self.found.extend(score.masked_fill(~selectable, -torch.inf), position)

    def finish(self) -> None:
        found, selector = self.found, self.table.selector
        name = f"{type(selector).__name__}.prune"
        with user_code(name, "it takes score, episode, position and draw, and returns the scores of the candidates"):
            score = selector.prune(found.score, self._episodes, found.position, self.table.num_refreshes)
        if score is not found.score:
            eligible = found.score > -torch.inf  # prune takes candidates away and adds none
            score = check_scores(name, score, eligible, self._episodes, found.position)
            found.prune(score.masked_fill(~eligible, -torch.inf))
        self.table.candidates.replace(self.episodes, found)
        self.table.scored[self.episodes] = True
