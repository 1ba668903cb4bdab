"""Count of own steps whose outcomes are as uncertain as those of targets: whether a run could be led by them."""

from __future__ import annotations

import torch
from torch import Tensor

from memup_lightning.distributed import all_reduce_sum
from memup_lightning.models.outcomes import Outcome

_EVERY = 10  # updates, after the first ones, at which own steps are counted: often the last before a validation


class OwnSteps:
    """Own steps of the last training chunk that was counted: all until the tenth update, and after each tenth one.

    Args:
        margin: nats by which own outcomes may be more certain than targets, on average.
    """

    def __init__(self, margin: float) -> None:
        self._margin = margin
        # Number of own steps that count, of all, of targets; NLL of the first and of the last without memory, summed.
        self._sums = torch.zeros(5)

    @torch.no_grad()
    def count(
        self,
        update: int,
        outcome: Outcome,
        own: tuple[Tensor, Tensor, Tensor],
        targets: tuple[Tensor, Tensor],
        local: tuple[Tensor, Tensor] | None,
    ) -> None:
        """Count the steps of a chunk.

        Args:
            update: number of the optimizer step.
            outcome: distribution of outcomes.
            own: outcomes of the chunk's steps, which of them count, and which there are, ``[B, T]``.
            targets: outcomes of its targets, and which there are, ``[B, K]``.
            local: predictions without memory of the chunk's steps and of its targets; None: they were not needed.
        """
        if update >= _EVERY and update % _EVERY:
            return
        (own_outcome, counts, steps), (target_outcome, valid) = own, targets
        own_nll = target_nll = none = torch.zeros((), device=counts.device)
        if local is not None:
            own_nll = outcome.nll(local[0], own_outcome).where(counts, none).sum()
            target_nll = outcome.nll(local[1], target_outcome).where(valid, none).sum()
        sums = counts.sum(), steps.sum(), valid.sum(), own_nll, target_nll
        self._sums = torch.stack([x.float() for x in sums])

    def share(self, device: torch.device) -> float:
        """Return the share of a chunk's steps, on all ranks, that count; to be called on every rank.

        It is 0 where their outcomes turned out to be more certain than those of targets: a local predictor that does not
        know its targets yet takes a corridor for as uncertain.
        """
        own, steps, targets, own_nll, target_nll = self.sums(device).tolist()
        alike = own_nll / max(1, own) >= target_nll / max(1, targets) - self._margin
        return float(own / max(1, steps)) if alike else 0.0

    def sums(self, device: torch.device) -> Tensor:
        """Return what was counted on all ranks, ``[5]``; to be called on every rank."""
        return all_reduce_sum(self._sums.to(device))

    def load(self, sums: Tensor) -> None:
        """Take what :meth:`sums` returned. It is the same share on each rank: a run may resume at a validation."""
        self._sums = sums
