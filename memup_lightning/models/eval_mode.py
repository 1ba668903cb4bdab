"""A module that only evaluates for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside; afterwards every part is in the mode in which it was.

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
