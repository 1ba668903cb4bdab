"""The selector that noise cannot fool: one target of each context cluster, those first that a memory can explain."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from memup_lightning import rng
from memup_lightning.chunk import ClusterAssignment
from memup_lightning.data.targets.candidates import Candidates, SuffixMaxima
from memup_lightning.data.targets.selectors import Selector
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import FloatArray

_ORDER = 1  # stream of random numbers


class Explainable(Selector):
    """K later steps of K different context clusters, those first that a memory can explain.

    Clusters are clusters of contexts (:class:`~memup_lightning.models.context_clusters.ContextClusters`). In every
    episode and at
    every refresh the
    clusters are put into an order, drawn without replacement in proportion to their weights (Gumbel-top-k, Kool, van Hoof &
    Welling, ICML 2019): uncertain, rare, and surely explained by the memory. Of each of the K first clusters that
    still have
    a step at or after t, one step, drawn evenly, is a target. A cluster of weight 0, certain and common, has none.

    Args:
        num_targets: K.
        num_clusters: number of clusters that are told apart; by default 4 K.
        loss_free: share of the training episodes from which nothing is learned but what the memory explains.
        seed: the draws follow from it.

    Raises:
        MemUPError: fewer clusters than targets, a share outside (0, 1).
    """

    def __init__(
        self, num_targets: int = 4, num_clusters: int | None = None, loss_free: float = 1 / 16, seed: int = 0
    ) -> None:
        if num_targets < 1:
            raise MemUPError(f"num_targets={num_targets}: must be at least 1")
        if num_clusters is not None and num_clusters < num_targets:
            raise MemUPError(
                f"num_clusters={num_clusters} are fewer than num_targets={num_targets}: one target at most is of a cluster"
            )
        if not 0 < loss_free < 1:
            raise MemUPError(f"loss_free={loss_free}: give a share of the training episodes between 0 and 1")
        self.num_targets = num_targets
        self.num_clusters = 4 * num_targets if num_clusters is None else num_clusters
        self.loss_free = loss_free
        self.seed = seed

    def score(
        self,
        uncertainty: Tensor,
        episode: Tensor,
        position: Tensor,
        draw: int,
        clusters: ClusterAssignment | None = None,
    ) -> Tensor:
        """The whole part is the place of a step's cluster, the rest that of the step within it; the highest comes first."""
        if clusters is None:
            raise MemUPError("Explainable scores context clusters, and none were found; train with a TargetRefresh")
        episodes, steps = episode.cpu().numpy()[:, None], position.cpu().numpy()
        uniform = rng.uniform(self.seed, draw, episodes, np.arange(len(clusters.weight)), _ORDER)
        gumbel = -np.log(-np.log(np.clip(uniform, 1e-300, 1 - 1e-16)))
        place = (clusters.weight.log() + torch.from_numpy(gumbel).to(clusters.weight)).argsort(dim=1).argsort(dim=1)
        within = torch.from_numpy(rng.uniform(self.seed, draw, episodes, steps)).to(clusters.weight)
        score = place.gather(1, clusters.cluster) + within.clamp(
            max=1 - 2**-10
        )  # float32: it must not round up to the next
        return score.masked_fill((clusters.weight == 0)[clusters.cluster], -torch.inf)

    def maxima(self, rows: int, capacity: int, device: torch.device) -> SuffixMaxima:
        return ClusterMaxima(rows, self.num_targets, capacity, device)

    def candidates(self, episodes: int, capacity: int) -> Candidates:
        return ClusterCandidates(episodes, self.num_targets, capacity)


class ClusterMaxima(SuffixMaxima):
    """Candidates where the whole part of a score is a cluster and a cluster gives one target: a step counts for some
    t only if
    no later one of its cluster scores higher, and fewer than K higher clusters come later."""

    def _candidates(self, score: Tensor) -> Tensor:
        cluster = score.floor()
        order = cluster.argsort(
            dim=1, descending=True, stable=True
        )  # cluster after cluster, within one from first to last
        ordered = score.gather(1, order)
        # What stands behind a step is later and of its own cluster, or of a lower cluster.
        behind = ordered.flip(1).cummax(1).values.flip(1)
        behind = torch.cat([behind[:, 1:], torch.full_like(score[:, :1], -torch.inf)], dim=1)
        return torch.zeros_like(score, dtype=torch.bool).scatter_(1, order, ordered > behind)

    def _keep(self, keep: Tensor, score: Tensor, position: Tensor) -> None:
        super()._keep(keep, score, position)
        cluster = self.score.floor()
        later = torch.ones(2 * cluster.shape[1:], dtype=torch.bool, device=cluster.device).triu(1)  # [step, later step]
        last = ~((cluster[:, :, None] == cluster[:, None]) & later).any(2)  # of its cluster
        higher = (cluster[:, None] > cluster[:, :, None]) & later & last[:, None]
        fewer = (higher.sum(2) < self.num_targets) & (self.score > -torch.inf)
        super()._keep(fewer, self.score, self.position)


class ClusterCandidates(Candidates):
    """Selects the best step of each of the K highest clusters."""

    def _eligible(self, score: FloatArray) -> FloatArray:
        order = np.argsort(-score, axis=1, kind="stable")
        cluster = np.floor(np.take_along_axis(score, order, axis=1))
        again = np.zeros(score.shape, np.bool_)
        again[:, 1:] = cluster[:, 1:] == cluster[:, :-1]
        unordered = np.empty_like(again)
        np.put_along_axis(unordered, order, again, axis=1)
        return np.where(unordered, np.float32(-np.inf), score)
