"""Context managers for evaluation, and for what leaves no trace."""

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
def restored_rng(device: torch.device) -> Iterator[None]:
    """Restore torch's random numbers afterwards, on the CPU and on a GPU."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


@contextmanager
def undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore a module's buffers, such as running means, and torch's random numbers afterwards."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    with restored_rng(device):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


@contextmanager
def trial_mode(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Switch a module to evaluation without gradients; afterwards restore modes, buffers and torch's random numbers."""
    with eval_mode(module), undisturbed(module, device):
        yield
