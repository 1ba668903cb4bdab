"""Clusters of context: which steps look alike to the local predictor, and what a memory explains of each cluster.

Ten steps of one cluster teach a memory what one of them teaches, and a cluster whose outcomes no memory explains teaches it
nothing. So the steps of all episodes are divided into a few clusters by what the local predictor sees in their contexts,
without labels, and an account of each cluster is kept: how uncertain its outcomes are, and how many bits of them the memory
explains in episodes that it is not trained on. In those that it is trained on, memorised noise looks like gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memup_lightning import rng
from memup_lightning.chunk import Fields
from memup_lightning.distributed import all_gather_object

_KEEP = 0.5  # of what was observed before a refresh, counted after it: what the memory explains changes as it learns
_ROUNDS = 10  # of Lloyd's algorithm at a refresh; the centres go on from where they were
_PRIOR_GAIN = (
    1.0  # bits: deviation of what the memory may explain of the most uncertain outcomes, before anything is observed
)
_LEAST_PRIOR_GAIN = 1e-3
_CERTAIN, _COMMON = 0.02, 0.5  # a cluster of less hope that occurs in more of the blocks of steps gets no targets
_NOISE = 1e-2  # bits: deviation of one observation, before there are any
_SURE = 5.0  # standard errors: to be surer than that changes nothing any more
_LEAST_WEIGHT = 0.01  # of a certain context: the certain ones need a cluster of their own, if not as many
_EPISODES = 256  # that are told apart; others share their places
_SHOWN = 8  # numbers of a field that an example shows


class ContextClusters:
    """Clusters of contexts, moved on at every refresh from where they were, and what is known of each.

    The clusters are those of k-means over features of contexts, each weighted by its uncertainty (first centres:
    k-means++, Arthur & Vassilvitskii, SODA 2007; then Lloyd's algorithm). Of each cluster the gains are kept that were
    observed in episodes that the memory is not trained on, as a number, a sum and a sum of squares. They count half at
    every refresh, so that the account follows the memory, and is unsure again where nothing is observed any more.

    Args:
        count: M, number of clusters.
        device: where the features are.

    Attributes:
        centres: ``[M, features]``; no row before the first :meth:`fit`.
        uncertainty: mean over the contexts of each cluster, in the unit of the uncertainty, ``[M]``.
        examples: a context of each cluster, in words.
        observed: number, sum and sum of squares of the gains of each cluster until the last refresh, ``[3, M]``.
        chosen: number of targets of each cluster until the last refresh, ``[M]``.
        presence: share of the blocks of steps in which each cluster occurred at the last refresh, ``[M]``.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.centres = torch.zeros(0, 0, device=device)
        self.uncertainty = torch.zeros(count, device=device)
        self.prior_gain = torch.zeros(count, device=device)
        self.examples = [""] * count
        self.observed = torch.zeros(3, count, dtype=torch.float64, device=device)
        self.chosen = torch.zeros(count, dtype=torch.float64, device=device)
        self.presence = torch.ones(count, dtype=torch.float64, device=device)
        # Since then, by this rank: number and sum of the gains by episode, number of targets, and of blocks of steps in
        # which each cluster occurred.
        self._gains = torch.zeros(2, _EPISODES, count, dtype=torch.float64, device=device)
        self._targets = torch.zeros_like(self.chosen)
        self._blocks = torch.zeros(2, count, dtype=torch.float64, device=device)

    def __len__(self) -> int:
        return len(self.examples)

    def __call__(self, features: Tensor) -> Tensor:
        """The cluster of each context: ``[..., features]`` to int64 ``[...]``."""
        flat = features.flatten(0, -2)
        nearest = torch.addmm(self.centres.square().sum(1), flat, self.centres.T, alpha=-2).argmin(1)
        return nearest.view(features.shape[:-1])

    def fit(self, features: Tensor, uncertainty: Tensor, context: Fields, seed: int) -> None:
        """Move the centres to where contexts are now, and count what was observed before.

        Args:
            features: ``[contexts, features]``.
            uncertainty: ``[contexts]``.
            context: each field ``[contexts, W, ...]``, for the examples.
            seed: of the first centres, and of those of clusters that have lost all their contexts.
        """
        gains, targets, blocks = self._of_all_ranks()
        self.observed, self.chosen = self._until_now(gains, targets)
        self.presence = torch.where(blocks[1] > 0, blocks[0].clamp(min=1) / blocks[1].clamp(min=1), self.presence)
        for fresh in (self._gains, self._targets, self._blocks):
            fresh.zero_()
        low, high = uncertainty.aminmax()
        share = (uncertainty - low) / (high - low) if high > low else torch.ones_like(uncertainty)
        weight = share.clamp(min=_LEAST_WEIGHT)
        draws = rng.uniform(seed, np.arange(len(self)))
        if not len(self.centres):
            self.centres = features[_drawn(weight, draws[0])]
            while len(self.centres) < len(self):
                self.centres = torch.cat([self.centres, self._far_away(features, weight, draws[len(self.centres)])])
        for _ in range(_ROUNDS):
            cluster = self(features)
            mass = torch.zeros_like(self.prior_gain).index_add_(0, cluster, weight)[:, None]
            total = torch.zeros_like(self.centres).index_add_(0, cluster, weight[:, None] * features)
            self.centres = torch.where(mass > 0, total / mass.clamp(min=1e-12), self.centres)
        for lost in (torch.bincount(cluster, minlength=len(self)) == 0).nonzero().flatten().tolist():
            self.centres[lost] = self._far_away(features, weight, draws[lost])[0]
            self.observed[:, lost] = 0
        self.centres = all_gather_object(self.centres)[0]  # ranks may differ in the last bit
        cluster = self(features)
        number = torch.bincount(cluster, minlength=len(self)).clamp(min=1)
        self.uncertainty = torch.zeros_like(self.prior_gain).index_add_(0, cluster, uncertainty) / number
        self.prior_gain = torch.zeros_like(self.prior_gain).index_add_(0, cluster, share) / number
        nearest = torch.cdist(self.centres, features).argmin(1)
        self.examples = _in_words({name: x[nearest, -1] for name, x in context.items()})

    def _far_away(self, features: Tensor, weight: Tensor, draw: float) -> Tensor:
        return features[_drawn(torch.cdist(features, self.centres).amin(1).square() * weight, draw)]

    def observe(self, cluster: Tensor, gain: Tensor, counts: Tensor, episode: Tensor) -> None:
        """Note bits that the memory explained of some steps; they count from the next refresh on.

        The steps of one cluster in one episode are one observation, their mean: lanes meet the same step again and again.

        Args:
            cluster: of each step, ``[lanes, steps]``.
            gain: of each, ``[lanes, steps]``.
            counts: whether its episode is one that the memory is not trained on, bool ``[lanes, steps]``.
            episode: of each lane, ``[lanes]``.
        """
        place = (episode[:, None] % _EPISODES * len(self) + cluster).flatten()
        seen = torch.stack([counts.double(), gain.double().where(counts, 0)]).flatten(1)
        self._gains.view(2, -1).index_add_(1, place, seen)

    def count_presence(self, cluster: Tensor, selectable: Tensor) -> None:
        """Count the blocks of steps in which each cluster occurs, both ``[blocks, steps]``."""
        occurs = torch.zeros(len(cluster), len(self) + 1, dtype=torch.float64, device=cluster.device)
        occurs.scatter_(1, cluster.where(selectable, len(self)), 1.0)
        self._blocks += torch.stack([occurs[:, :-1].sum(0), torch.full_like(self.presence, len(cluster))])

    def count_targets(self, cluster: Tensor, valid: Tensor) -> None:
        """Count targets of each cluster, both ``[lanes, K]``."""
        self._targets.index_add_(0, cluster.flatten(), valid.flatten().double())

    def weights(self) -> Tensor:
        """In what proportion the clusters are to be drawn, ``[M]``: the more uncertain, the rarer, and the surer it is that
        the memory explains something of them, by a factor ``exp(t)`` for a gain of t standard errors. 0 for those that are
        certain and common: they would take places and teach nothing."""
        number, total, square = self.observed
        several = number.clamp(min=1)
        scatter = (square - total.square() / several).clamp(min=0)
        usual = (scatter.sum() + _NOISE**2) / (number.sum() + 1)
        error = ((scatter + usual) / several / (several + 1)).sqrt()
        sure = (total / several / error).clamp(0, _SURE)
        weights: Tensor = self.prior_gain.double().clamp(min=_LEAST_PRIOR_GAIN) / self.presence * sure.exp()
        idle = (self.prior_gain <= _CERTAIN) & (self.presence > _COMMON)
        return weights.masked_fill(idle, 0).float()

    def summary(self) -> list[dict[str, Any]]:
        """A row for each cluster: an example, its uncertainty, the mean gain in bits with its standard error (None where
        nothing was observed), its share of the targets; the most often chosen first."""
        observed, chosen = self._until_now(self._gains, self._targets)
        number, total, square = observed.tolist()
        share = (chosen / chosen.sum().clamp(min=1e-9)).tolist()
        rows = []
        for cluster, example in enumerate(self.examples):
            n, mean = number[cluster], total[cluster] / max(number[cluster], 1e-9)
            error = (max(square[cluster] / max(n, 1e-9) - mean**2, 0) / max(n - 1, 1)) ** 0.5
            row = {"example": example, "uncertainty": float(self.uncertainty[cluster])}
            row |= {"gain": mean if n else None, "error": error if n > 1 else None}
            rows.append(row | {"share": share[cluster]})
        return sorted(rows, key=lambda row: -row["share"])

    def to(self, device: torch.device) -> ContextClusters:
        for name in _TENSORS:
            setattr(self, name, getattr(self, name).to(device))
        return self

    def state_dict(self) -> dict[str, Any]:
        """What all ranks hold; called on all of them."""
        state: dict[str, Any] = {name: getattr(self, name) for name in _TENSORS}
        state["_gains"], state["_targets"], state["_blocks"] = self._of_all_ranks()
        return state | {"examples": self.examples}

    def load_state_dict(self, state: Mapping[str, Any], rank: int) -> None:
        device = self.centres.device
        for name in _TENSORS:
            setattr(self, name, state[name].to(device, copy=True))
        self.examples = list(state["examples"])
        if rank:  # rank zero holds what all had seen
            for fresh in (self._gains, self._targets, self._blocks):
                fresh.zero_()

    def _of_all_ranks(self) -> tuple[Tensor, Tensor, Tensor]:
        """What was seen since the last refresh."""
        parts = all_gather_object((self._gains.cpu(), self._targets.cpu(), self._blocks.cpu()))
        gains, targets, blocks = (torch.stack(x).sum(0).to(self.centres.device) for x in zip(*parts, strict=True))
        return gains, targets, blocks

    def _until_now(self, gains: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What was observed and chosen, with what was seen since the last refresh; the older counts less."""
        number, total = gains
        mean = total / number.clamp(min=1)
        fresh = torch.stack([(number > 0).double(), mean, mean.square()]).sum(1)
        return _KEEP * self.observed + fresh, _KEEP * self.chosen + targets


_TENSORS = ("centres", "uncertainty", "prior_gain", "observed", "chosen", "presence", "_gains", "_targets", "_blocks")


def _drawn(weight: Tensor, uniform: float) -> Tensor:
    """One row, drawn in proportion to its weight, ``[1]``."""
    cumulated = weight.double().cumsum(0)
    return torch.searchsorted(cumulated, cumulated[-1:] * uniform).clamp(max=len(weight) - 1)


def _in_words(step: Fields) -> list[str]:
    """One step of a context for each row, such as ``observation 0 1 -1, action 1``."""
    fields = {name: x.flatten(1).tolist() if x.dim() > 1 else x[:, None].tolist() for name, x in step.items()}
    rows = zip(*fields.values(), strict=True)
    return [", ".join(f"{name} {_numbers(x)}" for name, x in zip(fields, row, strict=True)) for row in rows]


def _numbers(values: list[float]) -> str:
    return " ".join(f"{x:.2g}" for x in values[:_SHOWN]) + (" ..." if len(values) > _SHOWN else "")
