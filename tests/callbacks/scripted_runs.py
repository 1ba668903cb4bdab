"""Runs whose gains are given beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from memup_lightning.callbacks import BestWeights, TargetRefresh
from memup_lightning.chunk import Chunk
from memup_lightning.datamodules import EpisodeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from memup_lightning.runs.parts import log_now
from tests.callbacks.cue_task import CueData
from tests.training import quiet_trainer

EVERY = 2  # updates between two validations


class Scripted(MemUP):
    """A model whose gains, of validation and of training, are given beforehand; it keeps the weights of each validation."""

    script: Sequence[tuple[float, ...]]
    chunk_gains: Sequence[float] = ()  # of the training chunk of each update; () where they are not logged

    def diagnostics(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        return {"train/memory_gain": torch.tensor(self.chunk_gains[self.global_step])} if self.chunk_gains else {}

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.weights: dict[int, dict[str, Tensor]] = {}

    def end_evaluation(self, stage: str) -> None:
        val, train, *nll = self.script[min(self.global_step // EVERY, len(self.script)) - 1]
        self.log("val/memory_gain", val)
        for name, x in zip(("val/nll", "val/local_nll", "val/base_rate"), nll, strict=False):
            self.log(name, x)
        log_now(self.trainer, {"train/memory_gain": train})
        self.weights[self.global_step] = {name: x.clone() for name, x in self.state_dict().items()}


def run(
    folder: Path,
    gains: Sequence[tuple[float, ...]],
    best: BestWeights,
    *callbacks: Callback,
    ckpt_path: Path | None = None,
    updates: int | None = None,
    chunk_gains: Sequence[float] = (),
    data: EpisodeDataModule | None = None,
    **parts: Any,
) -> tuple[Trainer, Scripted]:
    seed_everything(1)
    data = data or CueData(length=10, num_train=16, num_val=4)
    model = Scripted(data.task, memory=partial(LSTM, hidden_size=4), **parts)
    model.script, model.chunk_gains = gains, chunk_gains
    last = ModelCheckpoint(folder, save_last=True, save_top_k=0, every_n_train_steps=1)
    trainer = quiet_trainer(
        updates or EVERY * len(gains),
        [best, TargetRefresh(settle=5), *callbacks, last],
        val_check_interval=EVERY,
        log_every_n_steps=1 if chunk_gains else 50,
        check_val_every_n_epoch=None,
        enable_checkpointing=True,
        default_root_dir=folder,
        max_epochs=-1,
    )
    trainer.fit(model, data, ckpt_path=ckpt_path, weights_only=False)
    return trainer, model


class Reached(Exception):
    """A run came to an update."""


class StopAt(Callback):
    def __init__(self, updates: int) -> None:
        self.updates = updates

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.updates:
            raise Reached


def alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(x, b[name]) for name, x in a.items())
