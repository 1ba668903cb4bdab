"""Trainings for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pytorch_lightning import Callback, Trainer

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.targets import Selector
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP


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


def fit_briefly(selector: Selector | None = None, **parts: Any) -> MemUP:
    """Fit a small MemUP for four updates on a maze, with targets from the second on."""
    data = TMazeDataModule(
        length=20, num_train=8, num_val=4, chunk_length=5, lanes=4, chunks_per_epoch=20, seed=1, selector=selector
    )
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=4), **parts)
    trainer = quiet_trainer(4, [TargetRefresh(every=2, settle=1, max_wait=2)], limit_val_batches=0)
    trainer.fit(model, data)
    return model
