"""Kinds of context: which steps look alike to the local predictor, and what a memory explains of each kind.

Ten steps of one kind teach a memory what one of them teaches, and a kind whose outcomes no memory explains teaches it
nothing. So the steps of all episodes are divided into a few kinds by what the local predictor sees in their contexts,
without labels, and an account of each kind is kept: how uncertain its outcomes are, and how many bits of them the memory
explains in episodes that it is not trained on. In those that it is trained on, memorised noise looks like gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memup_lightning import counter
from memup_lightning.chunk import Fields
from memup_lightning.ranks import gather

_KEEP = 0.5  # of what was observed before a refresh, counted after it: what the memory explains changes as it learns
_ROUNDS = 10  # of Lloyd's algorithm at a refresh; the centres go on from where they were
_HOPE = (
    1.0  # bits: deviation of what the memory may explain of the most uncertain outcomes, before anything is observed
)
_LEAST_HOPE = 1e-3
_LEAST_WEIGHT = 0.01  # of a certain context: the certain ones need a kind of their own, if not as many
_SHOWN = 8  # numbers of a field that an example shows


class Kinds:
    """Clusters of contexts, moved on at every refresh from where they were, and what is known of each.

    The clusters are those of k-means over features of contexts, each weighted by its uncertainty (first centres:
    k-means++, Arthur & Vassilvitskii, SODA 2007; then Lloyd's algorithm). What the memory explains of a kind is believed
    to be normal: a prior of mean 0, the wider the more uncertain the kind is, and the observed gains. Observations count
    half at every refresh, so that the belief follows the memory, and widens again where nothing is observed any more.

    Args:
        count: M, number of kinds.
        device: where the features are.

    Attributes:
        centres: ``[M, features]``; no row before the first :meth:`fit`.
        uncertainty: mean over the contexts of each kind, in the unit of the uncertainty, ``[M]``.
        examples: a context of each kind, in words.
        observed: number, sum and sum of squares of the gains of each kind until the last refresh, ``[3, M]``.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.centres = torch.zeros(0, 0, device=device)
        self.uncertainty = torch.zeros(count, device=device)
        self.hope = torch.zeros(count, device=device)
        self.examples = [""] * count
        self.observed = torch.zeros(3, count, dtype=torch.float64, device=device)
        self._fresh = torch.zeros_like(self.observed)  # since then, by this rank

    def __len__(self) -> int:
        return len(self.examples)

    def __call__(self, features: Tensor) -> Tensor:
        """The kind of each context: ``[..., features]`` to int64 ``[...]``."""
        flat = features.flatten(0, -2)
        nearest = torch.addmm(self.centres.square().sum(1), flat, self.centres.T, alpha=-2).argmin(1)
        return nearest.view(features.shape[:-1])

    def fit(self, features: Tensor, uncertainty: Tensor, context: Fields, seed: int) -> None:
        """Move the centres to where contexts are now, and count what was observed before.

        Args:
            features: ``[contexts, features]``.
            uncertainty: ``[contexts]``.
            context: each field ``[contexts, W, ...]``, for the examples.
            seed: of the first centres, and of those of kinds that have lost all their contexts.
        """
        self.observed = _KEEP * self.observed + self._all_fresh()
        self._fresh.zero_()
        low, high = uncertainty.aminmax()
        share = (uncertainty - low) / (high - low) if high > low else torch.ones_like(uncertainty)
        weight = share.clamp(min=_LEAST_WEIGHT)
        draws = counter.uniform(seed, np.arange(len(self)))
        if not len(self.centres):
            self.centres = features[_drawn(weight, draws[0])]
            while len(self.centres) < len(self):
                self.centres = torch.cat([self.centres, self._far_away(features, weight, draws[len(self.centres)])])
        for _ in range(_ROUNDS):
            kind = self(features)
            mass = torch.zeros_like(self.hope).index_add_(0, kind, weight)[:, None]
            total = torch.zeros_like(self.centres).index_add_(0, kind, weight[:, None] * features)
            self.centres = torch.where(mass > 0, total / mass.clamp(min=1e-12), self.centres)
        for lost in (torch.bincount(kind, minlength=len(self)) == 0).nonzero().flatten().tolist():
            self.centres[lost] = self._far_away(features, weight, draws[lost])[0]
            self.observed[:, lost] = 0
        self.centres = gather(self.centres)[0]  # ranks may differ in the last bit
        kind = self(features)
        number = torch.bincount(kind, minlength=len(self)).clamp(min=1)
        self.uncertainty = torch.zeros_like(self.hope).index_add_(0, kind, uncertainty) / number
        self.hope = _HOPE * torch.zeros_like(self.hope).index_add_(0, kind, share) / number
        nearest = torch.cdist(self.centres, features).argmin(1)
        self.examples = _in_words({name: x[nearest, -1] for name, x in context.items()})

    def _far_away(self, features: Tensor, weight: Tensor, draw: float) -> Tensor:
        return features[_drawn(torch.cdist(features, self.centres).amin(1).square() * weight, draw)]

    def observe(self, kind: Tensor, gain: Tensor, counts: Tensor) -> None:
        """Note bits that the memory explained of some targets; they count from the next refresh on.

        Args:
            kind: of each target, ``[...]``.
            gain: of each, ``[...]``.
            counts: whether it is one of an episode that the memory is not trained on, bool ``[...]``.
        """
        one = counts.flatten().double()
        gain = gain.flatten().double().where(counts.flatten(), 0)
        self._fresh.index_add_(1, kind.flatten(), torch.stack([one, gain, gain.square()]))

    def worth(self) -> tuple[Tensor, Tensor]:
        """What the memory may explain of each kind, in bits: mean ``[M]``, no less than 0, and deviation ``[M]``."""
        number, total, square = self.observed
        scatter = (square - total.square() / number.clamp(min=1)).sum()
        noise = (scatter.clamp(min=0) + _HOPE**2) / (number.sum() + 1)  # variance of one observation; one is made up
        variance = 1 / (self.hope.double().clamp(min=_LEAST_HOPE) ** -2 + number / noise)
        return (variance * total / noise).clamp(min=0).float(), variance.sqrt().float()

    def account(self) -> list[dict[str, Any]]:
        """A row for each kind: an example, its uncertainty, the mean gain in bits with its standard error (None where
        nothing was observed), its share of the targets; the most often chosen first."""
        number, total, square = (x.tolist() for x in (_KEEP * self.observed + self._fresh).cpu())
        rows = []
        for kind, example in enumerate(self.examples):
            n, mean = number[kind], total[kind] / max(number[kind], 1e-9)
            error = (max(square[kind] / max(n, 1e-9) - mean**2, 0) / max(n - 1, 1)) ** 0.5
            row = {"example": example, "uncertainty": float(self.uncertainty[kind])}
            row |= {"gain": mean if n else None, "error": error if n > 1 else None}
            rows.append(row | {"share": n / max(sum(number), 1e-9)})
        return sorted(rows, key=lambda row: -row["share"])

    def to(self, device: torch.device) -> Kinds:
        for name in _TENSORS:
            setattr(self, name, getattr(self, name).to(device))
        return self

    def state_dict(self) -> dict[str, Any]:
        """What all ranks hold; called on all of them."""
        state: dict[str, Any] = {name: getattr(self, name) for name in _TENSORS}
        return state | {"_fresh": self._all_fresh(), "examples": self.examples}

    def load_state_dict(self, state: Mapping[str, Any], rank: int) -> None:
        device = self.centres.device
        for name in _TENSORS:
            setattr(self, name, state[name].to(device, copy=True))
        self.examples = list(state["examples"])
        if rank:
            self._fresh.zero_()  # rank zero holds what all had observed

    def _all_fresh(self) -> Tensor:
        total: Tensor = torch.stack([part.cpu() for part in gather(self._fresh)]).sum(0).to(self._fresh.device)
        return total


_TENSORS = ("centres", "uncertainty", "hope", "observed", "_fresh")


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
