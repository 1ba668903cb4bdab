"""The widest floating-point type of a device."""

from __future__ import annotations

import torch

_WITHOUT_FLOAT64 = {"mps"}  # Apple's GPUs


def wide_float(device: torch.device) -> torch.dtype:
    """Return float64, or float32 where the device computes with nothing wider."""
    return torch.float32 if device.type in _WITHOUT_FLOAT64 else torch.float64
