"""What ends a run: the thresholds and limits of its trainer."""

from __future__ import annotations

from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping, Timer

from memup_lightning.protocols import WeightKeeper
from memup_lightning.runs.parts import find_callback, is_dev_run, parts


def meets_a_threshold(trainer: Trainer) -> bool:
    """Return whether the last weights are as good as an EarlyStopping waits for."""
    return any(
        callback.stopping_threshold is not None
        and callback.monitor in trainer.callback_metrics
        and bool(callback.monitor_op(trainer.callback_metrics[callback.monitor], callback.stopping_threshold))
        for callback in trainer.early_stopping_callbacks
    )


def say_if_last_weights_count(trainer: Trainer) -> None:
    """Say that a run in Python ends with its last weights, where nothing keeps those of the best validation."""
    callbacks = parts(trainer).callbacks
    keeps = any(isinstance(x, WeightKeeper | EarlyStopping) or getattr(x, "monitor", None) for x in callbacks)
    if not keeps and trainer.limit_val_batches and not is_dev_run(trainer):
        rank_zero_info(
            "this run ends with its last weights, even if they over-fit: Trainer(callbacks=memup_lightning."
            "default_callbacks()) keeps the best ones, and judges the run, as `memup fit` does"
        )


def is_unlimited(trainer: Trainer) -> bool:
    """Return whether the run has no last update, no last epoch, no time, and no callback that stops it."""
    limits = trainer.max_steps != -1 or trainer.max_epochs not in (-1, None)
    return not limits and not trainer.early_stopping_callbacks and find_callback(trainer, Timer) is None
