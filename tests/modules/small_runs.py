"""Small runs of a module, and its weights after them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pytorch_lightning import seed_everything
from torch import Tensor

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.datamodules import EpisodeDataModule, TMazeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP

SMALL: dict[str, Any] = {"length": 20, "num_train": 24, "num_val": 8, "chunk_length": 5, "lanes": 8, "seed": 1}


def data_of(**given: Any) -> TMazeDataModule:
    return TMazeDataModule(**SMALL | {"chunks_per_epoch": 20} | given)


def model_of(data: EpisodeDataModule, kind: Any = MemUP, **given: Any) -> Any:
    seed_everything(1)
    return kind(data.task, memory=partial(LSTM, hidden_size=8), **given)


def often() -> TargetRefresh:
    return TargetRefresh(every=10, settle=2, max_wait=4)


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in model.state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
