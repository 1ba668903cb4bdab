"""What ends a run: the thresholds and limits of its trainer."""

from __future__ import annotations

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Timer

from memup_lightning.runs.parts import find_callback


def meets_a_threshold(trainer: Trainer) -> bool:
    """Return whether the last weights are as good as an EarlyStopping waits for."""
    return any(
        callback.stopping_threshold is not None
        and callback.monitor in trainer.callback_metrics
        and bool(callback.monitor_op(trainer.callback_metrics[callback.monitor], callback.stopping_threshold))
        for callback in trainer.early_stopping_callbacks
    )


def is_unlimited(trainer: Trainer) -> bool:
    """Return whether the run has no last update, no last epoch, no time, and no callback that stops it."""
    limits = trainer.max_steps != -1 or trainer.max_epochs not in (-1, None)
    return not limits and not trainer.early_stopping_callbacks and find_callback(trainer, Timer) is None
