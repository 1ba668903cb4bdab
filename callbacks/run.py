"""What callbacks ask of a run: its data, a module that they work on, a place to log outside of a training step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import TBPTT, MemUP


def data_of(trainer: Trainer) -> EpisodeDataModule:
    """The run's datamodule."""
    data: EpisodeDataModule = trainer.datamodule  # type: ignore[attr-defined]
    return data


def has_targets(callback: Callback, trainer: Trainer, module: LightningModule) -> bool:
    """Whether the run has targets for the callback to work on. A baseline's has none: beside it the callback rests, so that
    any config becomes a baseline.

    Raises:
        MemUPError: the module is neither MemUP nor a baseline, or the data are no EpisodeDataModule.
    """
    if isinstance(module, TBPTT):
        return False
    data = data_of(trainer)
    if not isinstance(module, MemUP) or not isinstance(data, EpisodeDataModule):
        raise MemUPError(
            f"{type(callback).__name__} works on MemUP with an EpisodeDataModule, not on {type(module).__name__} with "
            f"{type(data).__name__}; remove it from trainer.callbacks"
        )
    return True


def log_now(trainer: Trainer, logged: Mapping[str, float]) -> None:
    """Hand numbers to all loggers at the present update, and to the metrics that other callbacks see."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(logged), step=trainer.global_step)
    trainer.callback_metrics.update({name: torch.tensor(x, dtype=torch.float64) for name, x in logged.items()})
