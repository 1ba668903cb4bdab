"""Selectors: how uncertainty becomes targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from memup_lightning import rng
from memup_lightning.data.targets.candidates import Candidates, SuffixMaxima
from memup_lightning.exceptions import MemUPError


class Selector(ABC):
    """Turns uncertainty into targets.

    Attributes:
        num_targets: K, how many later steps a chunk gets as targets.
        current_step: whether every step of the chunk is a target of its own state too (the ``{t}`` of the loss).
        num_clusters: number of context clusters that it tells apart; 0: it does not ask for them.
        loss_free: share of the training episodes from which nothing is learned but what the memory explains.
    """

    num_targets: int = 0
    current_step: bool = False
    num_clusters: int = 0
    loss_free: float = 0.0

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
        uniform = rng.uniform(self.seed, draw, episode.cpu().numpy()[:, None], position.cpu().numpy())
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


class CombinedSelector(Selector):
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
        self.num_clusters = max(selector.num_clusters for selector in selectors)
        self.loss_free = max(selector.loss_free for selector in selectors)

    @property
    def parts(self) -> Sequence[Selector]:
        return [part for selector in self.selectors for part in selector.parts]

    def score(self, uncertainty: Tensor, episode: Tensor, position: Tensor, draw: int) -> Tensor:
        raise NotImplementedError("a union is scored part by part")


def _at_least_one(num_targets: int) -> int:
    if num_targets < 1:
        raise MemUPError(f"num_targets={num_targets}: must be at least 1")
    return num_targets
