"""Context manager for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Switch a module to evaluation without gradients; afterwards restore the mode of every part.

    ``module.train(module.training)`` would also bring a part into training mode that its owner keeps in evaluation mode: a
    pretrained encoder with batch normalisation, say.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
