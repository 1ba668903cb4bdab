"""Learning rate over the updates of a run of unknown length."""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from memup_lightning.exceptions import check_counts


class InverseSqrtLR(LRScheduler):
    """Learning rate that is constant at first, and then falls with the square root of the number of updates.

    After n updates it is ``lr * min(1, sqrt(hold / n))``: at ``hold = 1000`` half after 4,000, a quarter after 16,000. A
    constant rate leaves noise in the weights of a recurrent memory, from which what it learned falls back again and
    again; a rate that ends at zero needs to know when the run ends. The schedule of Robbins & Monro's theory
    (1951) and of Vaswani et al. ("Attention is all you need", 2017, section 5.3), there after a warm-up.

    Args:
        optimizer: whose rate it sets.
        hold: updates at the constant rate.

    Raises:
        MemUPError: ``hold`` is below 1.
    """

    def __init__(self, optimizer: Optimizer, hold: int = 1000) -> None:
        check_counts(1, hold=hold)
        self.hold = hold
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each parameter group after the updates so far."""
        share = min(1.0, math.sqrt(self.hold / max(1, self.last_epoch)))
        return [rate * share for rate in self.base_lrs]


def inverse_sqrt(optimizer: Optimizer) -> InverseSqrtLR:
    """Make :class:`InverseSqrtLR` as it is by default. A saved config can name a function."""
    return InverseSqrtLR(optimizer)
