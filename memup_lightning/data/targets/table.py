"""Which steps the memory must explain: uncertainty per step -> U_t.

``U_t`` is the set of the K best-scored steps at or after t (MemUP, NeurIPS 2022, section 3). It must be at hand for
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
from memup_lightning.data.targets.selectors import Selector
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import FloatArray, IntArray


class TargetTable:
    """The targets of every episode of a source, as the last refresh left them.

    Args:
        selector: how targets are chosen.
        lengths: steps of each episode.
        capacity: candidates kept for each episode and selector; by default 64, or 16 K where that is more. There are
            about K ln T of them in T steps.

    Attributes:
        version: number of refreshes so far; 0 says that nothing was selected yet.

    """

    def __init__(self, selector: Selector, lengths: IntArray, capacity: int | None = None) -> None:
        self.selector = selector
        capacity = capacity or max(64, 16 * selector.num_targets)
        self.capacity = capacity
        self.version = 0
        self.scored: npt.NDArray[np.bool_] = np.zeros(len(lengths), np.bool_)
        self.candidates = [part.candidates(len(lengths), capacity) for part in selector.parts]

    def collect(self, episodes: IntArray, device: torch.device) -> TargetCollector:
        """Begin to gather the candidates of some episodes, side by side."""
        return TargetCollector(self, episodes, device)

    def select(self, episodes: IntArray, start: IntArray) -> IntArray:
        """Targets of chunks that begin at ``start``, ``[rows, num_targets]``; :data:`NOWHERE` where there are fewer."""
        if not self.candidates:
            return np.zeros((len(episodes), 0), np.int64)
        return np.concatenate([part.select(episodes, start) for part in self.candidates], axis=1)

    def take(self, episodes: IntArray) -> list[tuple[IntArray, FloatArray]]:
        """What was found for some episodes, for :meth:`put` on another rank."""
        return [part.take(episodes) for part in self.candidates]

    def put(self, episodes: IntArray, rows: list[tuple[IntArray, FloatArray]]) -> None:
        """Take over what another rank has found."""
        for part, (position, score) in zip(self.candidates, rows, strict=True):
            part.put(episodes, position, score)
        self.scored[episodes] = True

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"version": self.version, "scored": torch.from_numpy(self.scored)}
        state["position"] = [torch.from_numpy(part.position) for part in self.candidates]
        state["score"] = [torch.from_numpy(part.score) for part in self.candidates]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        shapes = [tuple(x.shape) for x in state["position"]]
        expected = [part.position.shape for part in self.candidates]
        if shapes != expected:
            raise MemUPError(
                f"the checkpoint holds targets of shape {shapes}, this run's selector and episodes need {expected}; "
                "resume with the same selector and number of episodes, or start without --ckpt_path"
            )
        self.version = state["version"]
        self.scored = state["scored"].numpy().copy()
        for part, position, score in zip(self.candidates, state["position"], state["score"], strict=True):
            part.load(position.numpy().copy(), score.numpy().copy())


class TargetCollector:
    """Scores on their way into a :class:`TargetTable`; the table changes only at :meth:`finish`."""

    def __init__(self, table: TargetTable, episodes: IntArray, device: torch.device) -> None:
        self.table = table
        self.episodes = episodes
        self._episodes = torch.from_numpy(episodes).to(device)
        self.found = [part.maxima(len(episodes), table.capacity, device) for part in table.selector.parts]

    def extend(
        self, uncertainty: Tensor, position: Tensor, selectable: Tensor, clusters: ClusterAssignment | None = None
    ) -> None:
        """Add the next steps of all episodes, each ``[rows, steps]``; unselectable steps never become targets."""
        for part, found in zip(self.table.selector.parts, self.found, strict=True):
            asked = (clusters,) if part.num_clusters else ()
            score = part.score(uncertainty, self._episodes, position, self.table.version, *asked)
            found.extend(score.masked_fill(~selectable, -torch.inf), position)

    def finish(self) -> None:
        for candidates, found in zip(self.table.candidates, self.found, strict=True):
            candidates.replace(self.episodes, found)
        self.table.scored[self.episodes] = True
