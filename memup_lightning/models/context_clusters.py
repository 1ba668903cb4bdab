"""Clusters of similar local contexts, with statistics of what the memory explains of each.

The memory learns little more from ten targets of one cluster than from one of them, and nothing from targets whose
outcomes no memory explains. So the steps of all episodes are divided into a few clusters by the local predictor's
features of their contexts, without labels. Of each cluster two things are measured: how uncertain its outcomes are, and
how many bits of them the memory explains in episodes that it is not trained on. In episodes that it is trained on,
memorized noise looks like gain.
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
from memup_lightning.models.wide_float import wide_float

_RETENTION = 0.5  # weight of earlier observations after a refresh: the gains change as the memory learns
_ROUNDS = 10  # of Lloyd's algorithm at a refresh, from the centres of the refresh before
_MIN_PRIOR_GAIN = 1e-3
_MAX_CERTAIN_GAIN, _MIN_COMMON_PRESENCE = (
    0.02,
    0.5,
)  # prior gain and share of blocks: a cluster below and above gets no targets
_PRIOR_DEVIATION = 1e-2  # bits: standard deviation of one observation, before there are any
_MAX_STANDARD_ERRORS = 5.0  # of a gain; more do not change a cluster's weight
_MIN_WEIGHT = 0.01  # of a certain context in the clustering, so that certain contexts have a cluster of their own
_EPISODE_SLOTS = 256  # episodes whose numbers are equal modulo this share a slot
_MAX_NUMBERS = 8  # of a field in an example


class ContextClusters:
    """Clusters of contexts, updated at every refresh, and statistics of each.

    The clusters are those of k-means over features of contexts, each weighted by its uncertainty (first centres:
    k-means++, Arthur & Vassilvitskii, SODA 2007; then Lloyd's algorithm). The statistics of a cluster are those of the
    gains that were observed in episodes that the memory is not trained on: number, sum and sum of squares. They are
    halved at every refresh, so they follow the memory, and their error grows where nothing is observed any more.

    Args:
        count: M, number of clusters.
        device: where the features are.

    Attributes:
        centres: ``[M, features]``; no row before the first :meth:`fit`.
        uncertainty: mean over the contexts of each cluster, in the unit of the uncertainty, ``[M]``.
        prior_gain: mean of the uncertainties of each cluster, scaled to [0, 1] over all contexts: gain in bits that is
            assumed before any observation, ``[M]``.
        examples: a context of each cluster, as text.
        observed: number, sum and sum of squares of the gains of each cluster until the last refresh, ``[3, M]``.
        chosen: decayed number of targets of each cluster until the last refresh, ``[M]``.
        presence: share of the blocks of steps in which each cluster occurred at the last refresh, ``[M]``.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        wide = wide_float(device)
        self.centres = torch.zeros(0, 0, device=device)
        self.uncertainty = torch.zeros(count, device=device)
        self.prior_gain = torch.zeros(count, device=device)
        self.examples = [""] * count
        self.observed = torch.zeros(3, count, dtype=wide, device=device)
        self.chosen = torch.zeros(count, dtype=wide, device=device)
        self.presence = torch.ones(count, dtype=wide, device=device)
        # Since the last refresh, on this rank: number and sum of the gains by episode, number of targets, and of blocks of
        # steps in which each cluster occurred.
        self._gains = torch.zeros(2, _EPISODE_SLOTS, count, dtype=wide, device=device)
        self._targets = torch.zeros_like(self.chosen)
        self._blocks = torch.zeros(2, count, dtype=wide, device=device)

    def __len__(self) -> int:
        return len(self.examples)

    def __call__(self, features: Tensor) -> Tensor:
        """Return the cluster of each context: ``[..., features]`` to int64 ``[...]``."""
        flat = features.flatten(0, -2)
        nearest = torch.addmm(self.centres.square().sum(1), flat, self.centres.T, alpha=-2).argmin(1)
        return nearest.view(features.shape[:-1])

    def fit(self, features: Tensor, uncertainty: Tensor, context: Fields, seed: int) -> None:
        """Move the centres to the contexts, and add the observations since the last refresh to the statistics.

        Args:
            features: ``[contexts, features]``.
            uncertainty: ``[contexts]``.
            context: each field ``[contexts, W, ...]``, for the examples.
            seed: of the first centres, and of new centres for clusters without contexts.
        """
        gains, targets, blocks = self._sum_over_ranks()
        self.observed, self.chosen = self._totals(gains, targets)
        self.presence = torch.where(blocks[1] > 0, blocks[0].clamp(min=1) / blocks[1].clamp(min=1), self.presence)
        for fresh in (self._gains, self._targets, self._blocks):
            fresh.zero_()
        low, high = uncertainty.aminmax()
        share = (uncertainty - low) / (high - low) if high > low else torch.ones_like(uncertainty)
        weight = share.clamp(min=_MIN_WEIGHT)
        draws = rng.uniform(seed, np.arange(len(self)))
        if not len(self.centres):
            self.centres = features[_sample_row(weight, draws[0])]
            while len(self.centres) < len(self):
                self.centres = torch.cat(
                    [self.centres, self._sample_distant(features, weight, draws[len(self.centres)])]
                )
        for _ in range(_ROUNDS):
            cluster = self(features)
            mass = torch.zeros_like(self.prior_gain).index_add_(0, cluster, weight)[:, None]
            total = torch.zeros_like(self.centres).index_add_(0, cluster, weight[:, None] * features)
            self.centres = torch.where(mass > 0, total / mass.clamp(min=1e-12), self.centres)
        for empty in (torch.bincount(cluster, minlength=len(self)) == 0).nonzero().flatten().tolist():
            self.centres[empty] = self._sample_distant(features, weight, draws[empty])[0]
            self.observed[:, empty] = 0
        self.centres = all_gather_object(self.centres)[0]  # ranks may differ in the last bit
        cluster = self(features)
        number = torch.bincount(cluster, minlength=len(self)).clamp(min=1)
        self.uncertainty = torch.zeros_like(self.prior_gain).index_add_(0, cluster, uncertainty) / number
        self.prior_gain = torch.zeros_like(self.prior_gain).index_add_(0, cluster, share) / number
        nearest = torch.cdist(self.centres, features).argmin(1)
        self.examples = _format_step({name: x[nearest, -1] for name, x in context.items()})

    def _sample_distant(self, features: Tensor, weight: Tensor, draw: float) -> Tensor:
        return features[_sample_row(torch.cdist(features, self.centres).amin(1).square() * weight, draw)]

    def observe(self, cluster: Tensor, gain: Tensor, counts: Tensor, episode: Tensor) -> None:
        """Record the gains of some steps; they count from the next refresh on.

        The steps of one cluster in one episode are one observation, their mean, since lanes repeat the same step.

        Args:
            cluster: of each step, ``[lanes, steps]``.
            gain: of each, ``[lanes, steps]``.
            counts: whether its episode is one that the memory is not trained on, bool ``[lanes, steps]``.
            episode: of each lane, ``[lanes]``.
        """
        place = (episode[:, None] % _EPISODE_SLOTS * len(self) + cluster).flatten()
        observed = torch.stack([counts.to(self._gains), gain.to(self._gains).where(counts, 0)]).flatten(1)
        self._gains.view(2, -1).index_add_(1, place, observed)

    def count_presence(self, cluster: Tensor, selectable: Tensor) -> None:
        """Count the blocks of steps in which each cluster occurs, both ``[blocks, steps]``."""
        occurs = torch.zeros(len(cluster), len(self) + 1, dtype=self._blocks.dtype, device=cluster.device)
        occurs.scatter_(1, cluster.where(selectable, len(self)), 1.0)
        self._blocks += torch.stack([occurs[:, :-1].sum(0), torch.full_like(self.presence, len(cluster))])

    def count_targets(self, cluster: Tensor, valid: Tensor) -> None:
        """Count targets of each cluster, both ``[lanes, K]``."""
        self._targets.index_add_(0, cluster.flatten(), valid.flatten().to(self._targets))

    def weights(self) -> Tensor:
        """Return the sampling weight of each cluster, ``[M]``.

        It is the prior gain divided by the share of blocks in which the cluster occurs, times ``exp(t)`` for a mean
        gain of t standard errors. It is 0 for clusters that are certain and common: the memory would learn nothing from
        their targets.
        """
        number, total, square = self.observed
        several = number.clamp(min=1)
        sum_of_squares = (square - total.square() / several).clamp(min=0)
        pooled_variance = (sum_of_squares.sum() + _PRIOR_DEVIATION**2) / (number.sum() + 1)
        error = ((sum_of_squares + pooled_variance) / several / (several + 1)).sqrt()
        standard_errors = (total / several / error).clamp(0, _MAX_STANDARD_ERRORS)
        weights: Tensor = (
            self.prior_gain.to(self.observed).clamp(min=_MIN_PRIOR_GAIN) / self.presence * standard_errors.exp()
        )
        idle = (self.prior_gain <= _MAX_CERTAIN_GAIN) & (self.presence > _MIN_COMMON_PRESENCE)
        return weights.masked_fill(idle, 0).float()

    def summary(self) -> list[dict[str, Any]]:
        """Return a row for each cluster: example, uncertainty, mean gain in bits with its standard error (None where
        nothing was observed), share of the targets. The largest share comes first."""
        observed, chosen = self._totals(self._gains, self._targets)
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
            setattr(self, name, _as_on(getattr(self, name), device))
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all ranks together; called on all of them."""
        state: dict[str, Any] = {name: getattr(self, name) for name in _TENSORS}
        state["_gains"], state["_targets"], state["_blocks"] = self._sum_over_ranks()
        return state | {"examples": self.examples}

    def load_state_dict(self, state: Mapping[str, Any], rank: int) -> None:
        device = self.centres.device
        for name in _TENSORS:
            setattr(self, name, _as_on(state[name], device))
        self.examples = list(state["examples"])
        if rank:  # rank zero holds the sums of all
            for fresh in (self._gains, self._targets, self._blocks):
                fresh.zero_()

    def _sum_over_ranks(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sum what all ranks observed since the last refresh."""
        parts = all_gather_object((self._gains.cpu(), self._targets.cpu(), self._blocks.cpu()))
        gains, targets, blocks = (torch.stack(x).sum(0).to(self.centres.device) for x in zip(*parts, strict=True))
        return gains, targets, blocks

    def _totals(self, gains: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the observations and targets up to now; those before the last refresh are decayed."""
        number, total = gains
        mean = total / number.clamp(min=1)
        fresh = torch.stack([(number > 0).to(mean), mean, mean.square()]).sum(1)
        return _RETENTION * self.observed + fresh, _RETENTION * self.chosen + targets


_TENSORS = ("centres", "uncertainty", "prior_gain", "observed", "chosen", "presence", "_gains", "_targets", "_blocks")


def _as_on(x: Tensor, device: torch.device) -> Tensor:
    """Copy to a device, as float32 where it has nothing wider."""
    return x.to(wide_float(device) if x.dtype == torch.float64 else x.dtype, copy=True).to(device)


def _sample_row(weight: Tensor, uniform: float) -> Tensor:
    """Draw a row in proportion to its weight, ``[1]``."""
    cumulated = weight.to(wide_float(weight.device)).cumsum(0)
    return torch.searchsorted(cumulated, cumulated[-1:] * uniform).clamp(max=len(weight) - 1)


def _format_step(step: Fields) -> list[str]:
    """Format the last step of each context, such as ``observation 0 1 -1, action 1``."""
    fields = {name: x.flatten(1).tolist() if x.dim() > 1 else x[:, None].tolist() for name, x in step.items()}
    rows = zip(*fields.values(), strict=True)
    return [", ".join(f"{name} {_format_numbers(x)}" for name, x in zip(fields, row, strict=True)) for row in rows]


def _format_numbers(values: list[float]) -> str:
    return " ".join(f"{x:.2g}" for x in values[:_MAX_NUMBERS]) + (" ..." if len(values) > _MAX_NUMBERS else "")
