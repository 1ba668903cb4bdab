"""Runs whose refreshes are recorded."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pytorch_lightning import Callback, Trainer, seed_everything

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import EpisodeDataModule, TMazeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from tests.training import quiet_trainer


class Watch(Callback):
    """Writes down, after every update, the version of the targets and whether the chunk had any."""

    def __init__(self) -> None:
        self.version: list[int] = []
        self.had_targets: list[bool] = []

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.had_targets.append(bool(batch.targets.valid.any()))
        self.version.append(trainer.datamodule.splits["train"].targets.num_refreshes)  # type: ignore[attr-defined]


class Recorded(TargetRefresh):
    """Writes down what every refresh scored."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.episodes: list[npt.NDArray[np.int64]] = []
        self.scored_before: list[npt.NDArray[np.bool_]] = []

    def _choose(self, data: EpisodeDataModule) -> npt.NDArray[np.int64]:
        self.scored_before.append(data.splits["train"].targets.scored.copy())
        self.episodes.append(super()._choose(data))
        return self.episodes[-1]


def data_of(**given: Any) -> TMazeDataModule:
    return TMazeDataModule(
        **{
            "length": 20,
            "num_train": 24,
            "num_val": 8,
            "chunk_length": 5,
            "lanes": 4,
            "chunks_per_epoch": 25,
            "seed": 1,
            "selector": TopK(1),
        }
        | given
    )


def fit(refresh: TargetRefresh, updates: int, data: Any = None, **trainer: Any) -> tuple[Trainer, Watch, Any]:
    seed_everything(1)
    data = data_of() if data is None else data
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=8))
    watch = Watch()
    given = {"limit_val_batches": 0} | trainer
    run = quiet_trainer(
        updates,
        [refresh, watch],
        **given,
    )
    run.fit(model, data)
    return run, watch, data


def changes(watch: Watch) -> list[int]:
    """The updates after which the targets were selected again."""
    return (np.flatnonzero(np.diff([0, *watch.version])) + 1).tolist()
