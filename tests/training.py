"""A Trainer for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, Trainer


def quiet_trainer(updates: int, callbacks: Sequence[Callback], **given: Any) -> Trainer:
    """Trains for so many updates on the CPU; prints, logs and saves nothing that is not asked for."""
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return Trainer(max_steps=updates, callbacks=list(callbacks), **quiet | given)
