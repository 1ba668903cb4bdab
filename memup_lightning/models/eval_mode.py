"""Context managers for evaluation, and for a trial that leaves no trace."""

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


@contextmanager
def trial_mode(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Switch a module to evaluation without gradients; afterwards restore modes, buffers and torch's random numbers."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    with eval_mode(module), torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)
