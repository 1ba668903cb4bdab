"""Noise-robust selector: one target per context cluster, those first that a memory can explain."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from memup_lightning import rng
from memup_lightning.data.targets.candidates import Candidates, SuffixMaxima
from memup_lightning.data.targets.selectors import Scorable, Selector
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import FloatArray

_ORDER = 1  # stream of random numbers


class Explainable(Selector):
    """K later steps of K different context clusters, those first that a memory can explain.

    Clusters are clusters of contexts (:class:`~memup_lightning.models.context_clusters.ContextClusters`). In every episode
    and at every refresh the clusters are put into an order, drawn without replacement in proportion to their weights
    (Gumbel-top-k, Kool, van Hoof & Welling, ICML 2019): uncertain, rare, and surely explained by the memory. Of each of the
    K first clusters that still have a step at or after t, one step, drawn evenly, is a target. A cluster of weight 0,
    certain and common, has none.

    Args:
        num_targets: K.
        seed: the draws follow from it.
    """

    one_per_cluster = True

    def __init__(self, num_targets: int = 4, seed: int = 0) -> None:
        super().__init__(num_targets)
        self.seed = seed

    def score(self, steps: Scorable) -> Tensor:
        """Score steps: the whole part is the rank of a step's cluster, the rest the step's rank within the cluster."""
        clusters = steps.clusters
        if clusters is None:
            raise MemUPError("Explainable scores context clusters, and none were found; train with a TargetRefresh")
        episodes, position = steps.episode.cpu().numpy()[:, None], steps.position.cpu().numpy()
        gumbel = rng.gumbel(self.seed, steps.draw, episodes, np.arange(len(clusters.weight)), _ORDER)
        place = (clusters.weight.log() + torch.from_numpy(gumbel).to(clusters.weight)).argsort(dim=1).argsort(dim=1)
        within = torch.from_numpy(rng.uniform(self.seed, steps.draw, episodes, position)).to(clusters.weight)
        # float32: a score must not round up to the next whole number.
        score = place.gather(1, clusters.cluster) + within.clamp(max=1 - 2**-10)
        return score.masked_fill((clusters.weight == 0)[clusters.cluster], -torch.inf)


class ClusterMaxima(SuffixMaxima):
    """Candidates where the whole part of a score is a cluster and a cluster gives one target: a step counts for some
    t only if
    no later one of its cluster scores higher, and fewer than K higher clusters come later."""

    def _candidates(self, score: Tensor) -> Tensor:
        cluster = score.floor()
        # Cluster after cluster, within one from first to last.
        order = cluster.argsort(dim=1, descending=True, stable=True)
        ordered = score.gather(1, order)
        # The candidates after a step are later and of its own cluster, or of a lower cluster.
        later = ordered.flip(1).cummax(1).values.flip(1)
        later = torch.cat([later[:, 1:], torch.full_like(score[:, :1], -torch.inf)], dim=1)
        return torch.zeros_like(score, dtype=torch.bool).scatter_(1, order, ordered > later)

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
