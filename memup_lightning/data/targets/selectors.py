"""Selectors: which steps of an episode become targets."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from memup_lightning import rng
from memup_lightning.chunk import ClusterAssignment
from memup_lightning.exceptions import MemUPError, check_counts, check_instance

DEFAULT_ARGUMENTS: Mapping[str, Any] = {"num_targets": 16, "margin": 0.3}
"""Arguments of the :class:`Proportional` that datamodules have by default."""
_ONE_BIT = math.log(2)
_LEAST_BITS = 1e-30  # of a step; its logarithm is finite


@dataclass
class Scorable:
    """Consecutive steps of several episodes, and what a selector may choose by.

    Attributes:
        uncertainty: u of each step, ``[rows, steps]``; at least 0 for an entropy of classes, any sign for others.
        episode: episode of each row, ``[rows]``.
        position: number of each step in its episode, ``[rows, steps]``.
        draw: number of the refresh, for selectors that draw.
        clusters: context cluster of each step; None where the model has found none.
        of_classes: whether the uncertainty is that of classes, which is at least 0.
    """

    uncertainty: Tensor
    episode: Tensor
    position: Tensor
    draw: int
    clusters: ClusterAssignment | None = None
    of_classes: bool = False


class Selector(ABC):
    """Chooses targets: the K best-scored steps at or after t.

    Args:
        num_targets: K, how many later steps a chunk gets as targets; 0: none.

    Attributes:
        one_per_cluster: whether no two targets are of one context cluster. Then the whole part of a score is the rank of
            the step's cluster.

    Raises:
        MemUPError: a negative number.
    """

    one_per_cluster: ClassVar[bool] = False

    def __init__(self, num_targets: int) -> None:
        check_counts(0, num_targets=num_targets)
        self.num_targets = num_targets

    @abstractmethod
    def score(self, steps: Scorable) -> Tensor:
        """Compute the scores of which the top K are selected, ``[rows, steps]``."""

    def prune(self, score: Tensor, episode: Tensor, position: Tensor, draw: int) -> Tensor:
        """Set the scores of candidates that must not be chosen to -inf, once all steps of their episodes were scored.

        Args:
            score: of the candidates, ``[rows, candidates]``; -inf in empty places.
            episode: ``[rows]``.
            position: ``[rows, candidates]``.
            draw: as in :class:`Scorable`.
        """
        return score


def check_selector(selector: Any) -> None:
    """Refuse what is no selector, or one that does not say how many targets it selects.

    Raises:
        MemUPError: see above.
    """
    check_instance("selector", selector, Selector)
    if not hasattr(selector, "num_targets"):
        name = type(selector).__name__
        raise MemUPError(f"{name} has no num_targets; call super().__init__(num_targets) in {name}.__init__")


class TopK(Selector):
    """The K most uncertain steps of the future (MemUP, section 3). Of equally uncertain steps the later one counts.

    Args:
        num_targets: K; 0: no later step is a target.
    """

    def __init__(self, num_targets: int = 1) -> None:
        super().__init__(num_targets)

    def score(self, steps: Scorable) -> Tensor:
        return steps.uncertainty


class Proportional(Selector):
    """K steps of the future drawn without replacement, in proportion to ``exp(uncertainty / temperature)``.

    Drawn by the Gumbel-top-k trick (Kool, van Hoof & Welling, ICML 2019), again at every refresh. Of classes, an entropy u
    below one bit counts as ``ln 2 (1 + ln(u / ln 2))``, which continues from there with the same slope: where a class is
    rare all entropies are small, and that of one step in relation to that of another says which one may be explained.

    Args:
        num_targets: K, at most.
        temperature: in the unit of the uncertainty (nats); near 0 it chooses like :class:`TopK`, large: evenly.
        seed: the draws follow from it.
        margin: how far below the most uncertain candidate of its episode a step may be, in the unit of the uncertainty.
            Where only one step is uncertain it is the only target: a memory learns nothing from certain ones, and the
            likelihood of a number that is almost certain has the largest gradients. None: the distance does not matter.
    """

    def __init__(
        self, num_targets: int = 1, temperature: float = 0.2, seed: int = 0, margin: float | None = None
    ) -> None:
        super().__init__(num_targets)
        if not temperature > 0:
            raise MemUPError(f"temperature={temperature}: must be above 0; for the largest uncertainty take TopK")
        if margin is not None and not margin >= 0:
            raise MemUPError(f"margin={margin}: must be at least 0, or null where the distance does not matter")
        self.temperature = temperature
        self.seed = seed
        self.margin = margin

    def score(self, steps: Scorable) -> Tensor:
        u = _by_ratio_below_one_bit(steps.uncertainty) if steps.of_classes else steps.uncertainty
        return u / self.temperature + self._gumbel(steps.draw, steps.episode, steps.position, u)

    def prune(self, score: Tensor, episode: Tensor, position: Tensor, draw: int) -> Tensor:
        if self.margin is None or not score.shape[1]:
            return score
        uncertainty = (score - self._gumbel(draw, episode, position, score)) * self.temperature
        best = uncertainty.amax(1, keepdim=True)
        return score.masked_fill(uncertainty < best - self.margin, -torch.inf)

    def _gumbel(self, draw: int, episode: Tensor, position: Tensor, like: Tensor) -> Tensor:
        noise = rng.gumbel(self.seed, draw, episode.cpu().numpy()[:, None], position.cpu().numpy())
        return torch.from_numpy(noise).to(like)


def _by_ratio_below_one_bit(entropy: Tensor) -> Tensor:
    bits = entropy / _ONE_BIT
    return torch.where(bits < 1, _ONE_BIT * (1 + bits.clamp(min=_LEAST_BITS).log()), entropy)
