"""Which steps the memory must explain: uncertainty per step -> U_t.

``U_t`` is the set of the K best-scored steps at or after t (MemUP, NeurIPS 2022, section 3). It must be at hand for
every t of every episode, and an episode may have a million steps. Only few steps can ever be in it: a step counts for
some t only if fewer than K later steps score as high. Those *candidates* (the K-skyband of the episode, about
K ln T of T steps) are found in one pass over the scores, a block at a time, and are all that is kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memup_lightning import counter
from memup_lightning.chunk import StepKinds
from memup_lightning.episodes import IntArray
from memup_lightning.errors import MemUPError

FloatArray = npt.NDArray[np.float32]
NOWHERE = np.iinfo(np.int64).max
"""Position of an empty place in a :class:`Candidates` table."""


class Selector(ABC):
    """Turns uncertainty into targets.

    Attributes:
        num_targets: K, how many later steps a chunk gets as targets.
        current_step: whether every step of the chunk is a target of its own state too (the ``{t}`` of the loss).
        kinds: number of kinds of context that it tells apart; 0: it does not ask for them.
        held_out: share of the training episodes from which nothing is learned but what the memory explains.
    """

    num_targets: int = 0
    current_step: bool = False
    kinds: int = 0
    held_out: float = 0.0

    @property
    def parts(self) -> Sequence[Selector]:
        """The selectors that choose later steps, each with its own candidates."""
        return [self]

    @abstractmethod
    def score(self, uncertainty: Tensor, episode: Tensor, position: Tensor, draw: int) -> Tensor:
        """What top-K is taken over.

        Args:
            uncertainty: u of each step, ``[rows, steps]``; at least 0 for an entropy of classes, any sign for others.
            episode: episode of each row, ``[rows]``.
            position: number of each step in its episode, ``[rows, steps]``.
            draw: number of the refresh, for selectors that draw.
        """

    def maxima(self, rows: int, capacity: int, device: torch.device) -> SuffixMaxima:
        """What gathers the candidates of episodes side by side."""
        return SuffixMaxima(rows, self.num_targets, capacity, device)

    def candidates(self, episodes: int, capacity: int) -> Candidates:
        """What keeps them."""
        return Candidates(episodes, self.num_targets, capacity)


class TopK(Selector):
    """The K most uncertain steps of the future (MemUP, section 3). Of equally uncertain steps the later one counts.

    Args:
        num_targets: K.
    """

    def __init__(self, num_targets: int = 1) -> None:
        self.num_targets = _at_least_one(num_targets)

    def score(self, uncertainty: Tensor, episode: Tensor, position: Tensor, draw: int) -> Tensor:
        return uncertainty


class Proportional(Selector):
    """K steps of the future drawn without replacement, in proportion to ``exp(uncertainty / temperature)``.

    Drawn by the Gumbel-top-k trick (Kool, van Hoof & Welling, ICML 2019), anew at every refresh.

    Args:
        num_targets: K.
        temperature: in the unit of the uncertainty (nats); near 0 it chooses like :class:`TopK`, large: evenly.
        seed: the draws follow from it.
    """

    def __init__(self, num_targets: int = 1, temperature: float = 0.2, seed: int = 0) -> None:
        self.num_targets = _at_least_one(num_targets)
        if not temperature > 0:
            raise MemUPError(f"temperature={temperature}: must be above 0; for the largest uncertainty take TopK")
        self.temperature = temperature
        self.seed = seed

    def score(self, uncertainty: Tensor, episode: Tensor, position: Tensor, draw: int) -> Tensor:
        uniform = counter.uniform(self.seed, draw, episode.cpu().numpy()[:, None], position.cpu().numpy())
        gumbel = -np.log(-np.log(np.clip(uniform, 1e-300, 1 - 1e-16)))
        return uncertainty / self.temperature + torch.from_numpy(gumbel).to(uncertainty)


class CurrentStep(Selector):
    """No later step: each state explains the outcome of its own step."""

    current_step = True

    @property
    def parts(self) -> Sequence[Selector]:
        return []

    def score(self, uncertainty: Tensor, episode: Tensor, position: Tensor, draw: int) -> Tensor:
        raise NotImplementedError("the current step needs no score")


class Union(Selector):
    """The targets of several selectors together, as ``U_t + {t}`` in the paper's loss.

    Args:
        selectors: at least one.
    """

    def __init__(self, selectors: list[Selector]) -> None:
        if not selectors:
            raise MemUPError("Union of no selectors; give at least one, such as TopK")
        self.selectors = selectors
        self.num_targets = sum(selector.num_targets for selector in selectors)
        self.current_step = any(selector.current_step for selector in selectors)
        self.kinds = max(selector.kinds for selector in selectors)
        self.held_out = max(selector.held_out for selector in selectors)

    @property
    def parts(self) -> Sequence[Selector]:
        return [part for selector in self.selectors for part in selector.parts]

    def score(self, uncertainty: Tensor, episode: Tensor, position: Tensor, draw: int) -> Tensor:
        raise NotImplementedError("a union is scored part by part")


def _at_least_one(num_targets: int) -> int:
    if num_targets < 1:
        raise MemUPError(f"num_targets={num_targets}: must be at least 1")
    return num_targets


class SuffixMaxima:
    """Candidates of several episodes, gathered while their scores come in from first step to last.

    Args:
        rows: episodes side by side.
        num_targets: K.
        capacity: candidates kept for an episode. Where there are more (scores that fall all the way), the K best stay
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

    def _candidates(self, score: Tensor) -> Tensor:
        """Which steps have fewer than K later ones that score as high."""
        left, later = score, score
        lowest = torch.full_like(score[:, :1], -torch.inf)
        # `later`: the largest score behind each step, in the next round the second largest, at last the Kth.
        for _ in range(self.num_targets):
            best = left.flip(1).cummax(1).values.flip(1)
            later = torch.cat([best[:, 1:], lowest], dim=1)
            left = torch.minimum(left, later)  # what a larger one takes over from is the next in rank
        return score > later

    def _keep(self, keep: Tensor, score: Tensor, position: Tensor) -> None:
        """Put what is kept of each row to its front."""
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

    def replace(self, episodes: IntArray, found: SuffixMaxima) -> None:
        """Take over what was found for some episodes."""
        score = found.score.cpu().numpy()
        self.put(episodes, np.where(np.isneginf(score), NOWHERE, found.position.cpu().numpy()), score)

    def take(self, episodes: IntArray) -> tuple[IntArray, FloatArray]:
        """Positions and scores of some episodes, without the places that are empty in all of them."""
        position = self.position[episodes]
        used = _places(position)
        return position[:, :used], self.score[episodes, :used]

    def put(self, episodes: IntArray, position: IntArray, score: FloatArray) -> None:
        """Take over what :meth:`take` returned on another rank."""
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
        """The K best candidates at or after each start, ``[rows, K]``; :data:`NOWHERE` where there are fewer."""
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
        """The scores of the candidates at or after the start, -inf where one cannot be chosen beside the others."""
        return score


def _places(position: IntArray) -> int:
    """Places of a table that at least one episode fills."""
    return int((position != NOWHERE).sum(axis=1).max(initial=0))


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

    def extend(self, uncertainty: Tensor, position: Tensor, selectable: Tensor, kinds: StepKinds | None = None) -> None:
        """Add the next steps of all episodes, each ``[rows, steps]``; unselectable steps never become targets."""
        for part, found in zip(self.table.selector.parts, self.found, strict=True):
            asked = (kinds,) if part.kinds else ()
            score = part.score(uncertainty, self._episodes, position, self.table.version, *asked)
            found.extend(score.masked_fill(~selectable, -torch.inf), position)

    def finish(self) -> None:
        for candidates, found in zip(self.table.candidates, self.found, strict=True):
            candidates.replace(self.episodes, found)
        self.table.scored[self.episodes] = True
