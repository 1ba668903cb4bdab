"""Callbacks that cannot work here, or that follow a metric in the wrong direction."""

from __future__ import annotations

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
    WeightAveraging,
)

from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.parts import parts
from memup_lightning.user_warnings import option, warn_user

_HIGHER_IS_BETTER = ("accuracy", "memory_gain", "auroc", "average_precision", "target_recall", "return", "success")
_LOWER_IS_BETTER = ("nll", "mse", "loss")
_AFTER_SELECTION = "val/memory_gain"
"""Metric that is measured once targets are selected, after some hundred updates."""


def check_callbacks(trainer: Trainer) -> None:
    """Refuse callbacks that cannot work here, and point out those that follow a metric in the wrong direction. One that
    stops by the memory gain waits until it is measured.

    Raises:
        MemUPError: a class in place of a callback, a finder of a setting that has another name here, an average of all
            buffers.
    """
    callbacks = parts(trainer).callbacks
    if classes := [x for x in callbacks if isinstance(x, type)]:
        callbacks[:] = [
            x for x in callbacks if not isinstance(x, type)
        ]  # Lightning would call their methods on an error
        name = classes[0].__name__
        raise MemUPError(f"callbacks=[{name}]: a class; give {name}()")
    for callback in callbacks:
        _check_finder(callback)
        if isinstance(callback, WeightAveraging) and callback._use_buffers and type(callback) is WeightAveraging:
            raise MemUPError(
                "WeightAveraging averages buffers too, and some of the model's are flags; give "
                "WeightAveraging(use_buffers=False)"
            )
        if isinstance(callback, EarlyStopping | ModelCheckpoint):
            _check_monitor(callback)


def _check_finder(callback: Callback) -> None:
    """Refuse a finder: it would change an attribute that no model or datamodule has."""
    if isinstance(callback, LearningRateFinder):
        given = option("model.optimizer.lr", 0.001, "optimizer=functools.partial(torch.optim.Adam, lr=0.001)")
        raise MemUPError(f"LearningRateFinder changes an attribute of the model, which has an optimizer; set {given}")
    if isinstance(callback, BatchSizeFinder):
        raise MemUPError(
            "BatchSizeFinder changes the size of batches of a DataLoader, and here a batch is a chunk of every lane; set "
            f"{option('data.lanes', 256)}"
        )


def _check_monitor(callback: EarlyStopping | ModelCheckpoint) -> None:
    monitor, name = callback.monitor or "", type(callback).__name__
    metric = monitor.rpartition("/")[2]
    for ends, better in ((_HIGHER_IS_BETTER, "max"), (_LOWER_IS_BETTER, "min")):
        if callback.mode != better and metric.endswith(ends):
            kept = "ends a run that improves" if isinstance(callback, EarlyStopping) else "keeps the worst weights"
            more = "higher" if better == "max" else "lower"
            warn_user(
                f"{name}(monitor={monitor!r}, mode={callback.mode!r}) {kept}: the {more} {monitor} the better; give "
                f"mode={better!r}"
            )
    if isinstance(callback, EarlyStopping) and monitor == _AFTER_SELECTION:
        callback.strict = False  # else a validation before it is there ends the run with an error
