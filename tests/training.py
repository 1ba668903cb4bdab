"""Trainings for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.chunk import Chunk
from memup_lightning.data.targets import Selector
from memup_lightning.datamodules import BaseDataModule, TMazeDataModule
from memup_lightning.models.memory import LSTM, State
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


class Forgetful(MemUP):
    """MemUP whose memory is cut: its state is zero at the beginning of every chunk.

    What a test says is learned across chunks must not be learned by it. Give the data an ``evaluation_chunk_length`` of
    ``chunk_length`` then: by default evaluation reads longer chunks, which may show cue and question together.
    """

    def unroll(self, chunk: Chunk, state: State | None) -> tuple[torch.Tensor, State]:
        return super().unroll(chunk, None)


def fit_and_validate(model: MemUP, data: BaseDataModule, updates: int, **refresh: Any) -> dict[str, float]:
    """Train, with a TargetRefresh of these arguments, and return the metrics of the validation at the end, ``val/...``."""
    trainer = quiet_trainer(
        updates, [TargetRefresh(**refresh)], val_check_interval=updates, check_val_every_n_epoch=None
    )
    trainer.fit(model, data)
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}


def fit_briefly(selector: Selector | None = None, **parts: Any) -> MemUP:
    """Fit a small MemUP for four updates on a maze, with targets from the second on."""
    data = TMazeDataModule(
        length=20, num_train=8, num_val=4, chunk_length=5, lanes=4, chunks_per_epoch=20, seed=1, selector=selector
    )
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=4), **parts)
    trainer = quiet_trainer(4, [TargetRefresh(every=2, settle=1, max_wait=2)], limit_val_batches=0)
    trainer.fit(model, data)
    return model
