"""Callbacks monitor the losses of training, of which Lightning knows those of log steps alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from memup_lightning.datamodules import RolloutDataModule, TMazeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import TBPTT, MemUP
from memup_lightning.rl.algorithms import PPO
from tests.training import quiet_trainer

EVERY_4: dict[str, Any] = {"val_check_interval": 4, "check_val_every_n_epoch": None}
"""Validations after every 4 updates."""


class Losses(Callback):
    """Notes the losses of each update, and those that can be monitored after it."""

    def __init__(self) -> None:
        self.of_update: dict[int, dict[str, float]] = {}
        self.monitored: dict[int, dict[str, float]] = {}

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.of_update[trainer.global_step] = {name: float(x) for name, x in outputs.items()}

    def on_validation_end(self, trainer: Trainer, *args: Any) -> None:
        shown = {name: float(x) for name, x in trainer.callback_metrics.items() if name.startswith("train/")}
        self.monitored[trainer.global_step] = {name.removeprefix("train/"): x for name, x in shown.items()}


def maze() -> TMazeDataModule:
    return TMazeDataModule(length=20, num_train=8, num_val=4, chunk_length=5, lanes=4, chunks_per_epoch=6, seed=1)


@pytest.mark.parametrize("kind", [MemUP, TBPTT])
def test_the_losses_of_the_update_before_a_validation_are_monitored(kind: Any) -> None:
    data, seen = maze(), Losses()
    trainer = quiet_trainer(12, [seen], **EVERY_4, log_every_n_steps=1000)
    trainer.fit(kind(data.task, memory=partial(LSTM, hidden_size=4)), data)
    assert seen.monitored == {step: seen.of_update[step] for step in (4, 8, 12)}
    assert {"loss", "local_loss"} <= seen.monitored[4].keys()


def test_a_run_stops_early_by_a_training_loss() -> None:
    data, stop = maze(), EarlyStopping("train/loss", patience=1, min_delta=1e9)
    trainer = quiet_trainer(100, [stop], **EVERY_4, log_every_n_steps=1000)
    trainer.fit(MemUP(data.task), data)
    assert trainer.global_step == 8


@pytest.mark.parametrize("when", [EVERY_4, {"limit_val_batches": 0}], ids=["validation", "epoch"])
def test_the_checkpoint_of_the_least_training_loss_is_kept(tmp_path: Path, when: dict[str, Any]) -> None:
    every = 4 if when is EVERY_4 else 6
    data, seen = maze(), Losses()
    kept = ModelCheckpoint(tmp_path, "{step}", monitor="train/loss", save_on_train_epoch_end=every == 6)
    trainer = quiet_trainer(24, [seen, kept], **when, log_every_n_steps=1000, enable_checkpointing=True)
    trainer.fit(MemUP(data.task), data)
    least = {step: seen.of_update[step]["loss"] for step in range(every, 25, every)}
    best = min(least, key=least.__getitem__)
    assert kept.best_model_score is not None
    assert float(kept.best_model_score) == pytest.approx(least[best])
    assert [path.name for path in tmp_path.iterdir()] == [f"step={best}.ckpt"]


def test_the_losses_of_an_agent_are_monitored() -> None:
    data = RolloutDataModule("memup/TMaze-v0", {"length": 5}, num_envs=4, num_steps=10, num_val=2, seed=1)
    seen = Losses()
    trainer = quiet_trainer(4, [seen], **EVERY_4, log_every_n_steps=1000)
    trainer.fit(PPO(data.task), data)
    assert seen.monitored == {4: seen.of_update[4]}
