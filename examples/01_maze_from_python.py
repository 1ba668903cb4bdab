"""Train a memory on a T-Maze from Python: a datamodule, a model, a Trainer.

    python -m examples.01_maze_from_python

A hint at the first step says which way to turn 50 noisy steps later. Gradients cross 5 steps.
"""

from __future__ import annotations

from functools import partial

import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping

from memup_lightning.callbacks import MemoryUsage, TargetRefresh
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP


def main(updates: int = 1500) -> None:
    torch.set_num_threads(1)  # the networks are small
    seed_everything(1)
    data = TMazeDataModule(
        length=50,
        chunk_length=5,  # r: how far gradients go back
        lanes=32,  # episodes played at once
        selector=TopK(1),  # the most uncertain later step is what the memory must explain
    )
    model = MemUP(
        data.task,  # what memory and predictor see, and what the outcome is
        memory=partial(LSTM, hidden_size=32),
        optimizer=partial(torch.optim.Adam, lr=5e-3),
    )
    trainer = Trainer(
        accelerator="cpu",
        max_steps=updates,
        val_check_interval=100,
        check_val_every_n_epoch=None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[
            TargetRefresh(every=100, settle=50),
            EarlyStopping("val/accuracy", mode="max", stopping_threshold=0.99, patience=1000),
            MemoryUsage(),
        ],
    )
    trainer.fit(model, data)
    for name in ("val/accuracy", "val/target_recall", "val/memory_gain", "memory/saved_tensor_bytes"):
        print(f"{name:28}{float(trainer.callback_metrics[name]):,.3f}")


if __name__ == "__main__":
    main()
