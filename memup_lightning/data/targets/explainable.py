"""The selector that noise cannot fool: one target of each kind of context, those first that a memory can explain."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from memup_lightning import rng
from memup_lightning.chunk import StepKinds
from memup_lightning.data.targets.candidates import Candidates, FloatArray, SuffixMaxima
from memup_lightning.data.targets.selectors import Selector
from memup_lightning.exceptions import MemUPError

_ORDER = 1  # stream of random numbers


class Explainable(Selector):
    """K later steps of K different kinds of context, those first that a memory can explain.

    Kinds are clusters of contexts (:class:`~memup_lightning.models.context_clusters.Kinds`). In every episode and at
    every refresh the
    kinds are put into an order, drawn without replacement in proportion to their weights (Gumbel-top-k, Kool, van Hoof &
    Welling, ICML 2019): uncertain, rare, and surely explained by the memory. Of each of the K first kinds that still have
    a step at or after t, one step, drawn evenly, is a target. A kind of weight 0, certain and common, has none.

    Args:
        num_targets: K.
        kinds: number of kinds that are told apart; by default 4 K.
        held_out: share of the training episodes from which nothing is learned but what the memory explains.
        seed: the draws follow from it.

    Raises:
        MemUPError: fewer kinds than targets, a share outside (0, 1).
    """

    def __init__(self, num_targets: int = 4, kinds: int | None = None, held_out: float = 1 / 16, seed: int = 0) -> None:
        if num_targets < 1:
            raise MemUPError(f"num_targets={num_targets}: must be at least 1")
        if kinds is not None and kinds < num_targets:
            raise MemUPError(f"kinds={kinds} are fewer than num_targets={num_targets}: one target at most is of a kind")
        if not 0 < held_out < 1:
            raise MemUPError(f"held_out={held_out}: give a share of the training episodes between 0 and 1")
        self.num_targets = num_targets
        self.kinds = 4 * num_targets if kinds is None else kinds
        self.held_out = held_out
        self.seed = seed

    def score(
        self, uncertainty: Tensor, episode: Tensor, position: Tensor, draw: int, kinds: StepKinds | None = None
    ) -> Tensor:
        """The whole part is the place of a step's kind, the rest that of the step within it; the highest comes first."""
        if kinds is None:
            raise MemUPError("Explainable scores kinds of context, and none were found; train with a TargetRefresh")
        episodes, steps = episode.cpu().numpy()[:, None], position.cpu().numpy()
        uniform = rng.uniform(self.seed, draw, episodes, np.arange(len(kinds.weight)), _ORDER)
        gumbel = -np.log(-np.log(np.clip(uniform, 1e-300, 1 - 1e-16)))
        place = (kinds.weight.log() + torch.from_numpy(gumbel).to(kinds.weight)).argsort(dim=1).argsort(dim=1)
        within = torch.from_numpy(rng.uniform(self.seed, draw, episodes, steps)).to(kinds.weight)
        score = place.gather(1, kinds.kind) + within.clamp(max=1 - 2**-10)  # float32: it must not round up to the next
        return score.masked_fill((kinds.weight == 0)[kinds.kind], -torch.inf)

    def maxima(self, rows: int, capacity: int, device: torch.device) -> SuffixMaxima:
        return KindMaxima(rows, self.num_targets, capacity, device)

    def candidates(self, episodes: int, capacity: int) -> Candidates:
        return KindCandidates(episodes, self.num_targets, capacity)


class KindMaxima(SuffixMaxima):
    """Candidates where the whole part of a score is a kind and a kind gives one target: a step counts for some t only if
    no later one of its kind scores higher, and fewer than K higher kinds come later."""

    def _candidates(self, score: Tensor) -> Tensor:
        kind = score.floor()
        order = kind.argsort(dim=1, descending=True, stable=True)  # kind after kind, within one from first to last
        ordered = score.gather(1, order)
        # What stands behind a step is later and of its own kind, or of a lower kind.
        behind = ordered.flip(1).cummax(1).values.flip(1)
        behind = torch.cat([behind[:, 1:], torch.full_like(score[:, :1], -torch.inf)], dim=1)
        return torch.zeros_like(score, dtype=torch.bool).scatter_(1, order, ordered > behind)

    def _keep(self, keep: Tensor, score: Tensor, position: Tensor) -> None:
        super()._keep(keep, score, position)
        kind = self.score.floor()
        later = torch.ones(2 * kind.shape[1:], dtype=torch.bool, device=kind.device).triu(1)  # [step, later step]
        last = ~((kind[:, :, None] == kind[:, None]) & later).any(2)  # of its kind
        higher = (kind[:, None] > kind[:, :, None]) & later & last[:, None]
        fewer = (higher.sum(2) < self.num_targets) & (self.score > -torch.inf)
        super()._keep(fewer, self.score, self.position)


class KindCandidates(Candidates):
    """Selects the best step of each of the K highest kinds."""

    def _eligible(self, score: FloatArray) -> FloatArray:
        order = np.argsort(-score, axis=1, kind="stable")
        kind = np.floor(np.take_along_axis(score, order, axis=1))
        again = np.zeros(score.shape, np.bool_)
        again[:, 1:] = kind[:, 1:] == kind[:, :-1]
        unordered = np.empty_like(again)
        np.put_along_axis(unordered, order, again, axis=1)
        return np.where(unordered, np.float32(-np.inf), score)
