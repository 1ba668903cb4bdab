"""Short runs of a small maze, and what they leave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.image
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import EpisodeDataModule, TMazeDataModule
from memup_lightning.modules import MemUP

PICTURES = ("gain_curve.png", "learning_curve.png", "memory.png", "uncertainty.png")


def maze(length: int = 30, **kwargs: Any) -> TMazeDataModule:
    sizes: dict[str, Any] = {
        "seed": 7,
        "num_train": 32,
        "num_val": 8,
        "lanes": 8,
        "chunk_length": 5,
        "restart": [0.3, 0.0],
    }
    return TMazeDataModule(length=length, **{"selector": TopK(1)} | sizes | kwargs)


def fit(
    folder: Path,
    data: EpisodeDataModule,
    callbacks: Sequence[Callback],
    steps: int = 40,
    logger: Logger | bool | None = None,
    ckpt_path: Path | None = None,
    sanity_steps: int = 0,
    **model: Any,
) -> Trainer:
    seed_everything(7)
    torch.set_num_threads(1)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        val_check_interval=min(20, steps),
        check_val_every_n_epoch=None,
        log_every_n_steps=10,
        num_sanity_val_steps=sanity_steps,
        logger=CSVLogger(folder, name="", version="") if logger is None else logger,
        default_root_dir=folder,
        callbacks=[TargetRefresh(every=20, settle=5, max_wait=10), *callbacks],
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(MemUP(data.task, **model), datamodule=data, ckpt_path=ckpt_path, weights_only=False)
    return trainer


def read_summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def is_a_picture(path: Path) -> bool:
    image = matplotlib.image.imread(path)
    drawn = (image[..., :3].min(-1) < 0.9).mean()
    return bool(image.shape[1] >= 1200 and 0.005 < drawn < 0.7)
