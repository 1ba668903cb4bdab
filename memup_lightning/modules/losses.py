"""Result of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor


def sum_losses(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the loss terms without their graphs, and ``loss``: their sum, which is minimized.

    Args:
        losses: scalars by name.
    """
    return {name: loss.detach() for name, loss in losses.items()} | {"loss": reduce(torch.add, losses.values())}
