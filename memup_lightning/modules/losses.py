"""Losses of a training step: their sum, and a check that they are finite without waiting for an accelerator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TypeAlias

import torch
from torch import Tensor

from memup_lightning.chunk import StepBatch
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.outcomes import Outcome
from memup_lightning.models.uncertainty import LocalPredictor
from memup_lightning.user_warnings import option

Locate: TypeAlias = Callable[[Sequence[str]], str]
"""``(names of losses) -> where the first of them is not finite``, such as " in lane 3"; empty where that is not known."""


def sum_losses(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the loss terms without their graphs, and ``loss``: their sum, which is minimized.

    Args:
        losses: scalars by name.
    """
    return {name: loss.detach() for name, loss in losses.items()} | {"loss": reduce(torch.add, losses.values())}


class FiniteLoss:
    """Check that ends a run whose loss is not finite.

    On a CPU every loss is checked before its gradients are computed. On an accelerator the result stays on the device
    until :meth:`check`, to be called where the run waits for the device anyway.
    """

    def __init__(self) -> None:
        self._finite: dict[str, Tensor] = {}
        self._first = 0  # update of the first loss that is not checked yet

    def add(self, losses: Mapping[str, Tensor], update: int, locate: Locate | None = None) -> None:
        """Note the losses of a step.

        Args:
            losses: scalars by name.
            update: number of the optimizer step that they belong to.
            locate: called where a loss of this step is not finite.

        Raises:
            MemUPError: see :meth:`check`.
        """
        at_once = all(_is_free_to_read(loss) for loss in losses.values())
        if at_once and all(math.isfinite(loss.item()) for loss in losses.values()):
            return
        if not self._finite:
            self._first = update
        with torch.no_grad():
            for name, loss in losses.items():
                finite = torch.isfinite(loss)
                self._finite[name] = finite if name not in self._finite else self._finite[name] & finite
        if at_once:
            self.check(update, locate)

    def check(self, update: int, locate: Locate | None = None) -> None:
        """Check all losses since the last check.

        Args:
            update: number of the present optimizer step.
            locate: called where a loss of this step alone is checked and not finite: a loss of an earlier step is gone.

        Raises:
            MemUPError: a loss that is not finite, with its name, update and place.
        """
        noted, self._finite = self._finite, {}
        wrong = [name for name, finite in noted.items() if not bool(finite)]
        if wrong:
            when = f"at an update from {self._first} to {update}"
            if update == self._first:
                when = f"at update {update}{'' if locate is None else locate(wrong)}"
            raise MemUPError(
                f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not finite {when}; lower the learning rate, set "
                f"{option('trainer.gradient_clip_val')}, or scale observations and rewards, and continue from the last "
                "checkpoint"
            )


def are_few(counts: Tensor) -> bool:
    """Return whether at most half of the places count, so that it pays to predict at these alone. On an accelerator, which
    would have to be waited for, never."""
    return _is_free_to_read(counts) and 2 * int(counts.sum()) <= counts.numel()


def _is_free_to_read(x: Tensor) -> bool:
    """Return whether a value can be read without waiting for an accelerator."""
    return x.device.type == "cpu"


def probe_loss(
    outcome: Outcome, local: LocalPredictor, probes: StepBatch, weighted: Tensor | bool
) -> tuple[Tensor, Tensor]:
    """Compute the loss of the predictor without memory at every probe, and which of them count, ``[B, K]``.

    Args:
        outcome: the outcomes' distribution.
        local: the predictor.
        probes: more of them come from the end of an episode, and from short episodes, than there are such steps.
        weighted: whether each counts as if all steps were equally likely. Without, what comes once is learned soon; with,
            the probabilities are right.
    """
    loss, weight = outcome.loss(local(probes.context), probes.outcome), probes.weight
    if weight is not None and weighted is not False:
        loss = loss * (weight if weighted is True else weight.where(weighted, 1))
    return loss, probes.valid
