"""Callbacks of Lightning that cannot work here, or that follow a metric in the wrong direction."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
    WeightAveraging,
)

from memup_lightning.callbacks import BestWeights
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import TBPTT, MemUP
from tests.modules.small_runs import data_of, model_of
from tests.training import quiet_trainer


def fit(*callbacks: Any, kind: Any = TBPTT, **given: Any) -> None:
    data = data_of(chunks_per_epoch=2)
    quiet_trainer(2, callbacks, **given).fit(model_of(data, kind), data)


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (BestWeights, r"callbacks=\[BestWeights\]: a class; give BestWeights\(\)"),
        (LearningRateFinder(), "which has an optimizer; set optimizer=functools.partial"),
        (BatchSizeFinder(), "a batch is a chunk of every lane; set lanes=256"),
        (WeightAveraging(), r"give WeightAveraging\(use_buffers=False\)"),
    ],
)
def test_a_callback_that_cannot_work_here_is_refused_with_what_does(callback: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        fit(callback)


@pytest.mark.parametrize("kind", [TBPTT, MemUP])
def test_an_early_stopping_by_the_memory_gain_waits_until_it_is_measured(kind: Any) -> None:
    fit(EarlyStopping("val/memory_gain", mode="max"), kind=kind, check_val_every_n_epoch=1, limit_val_batches=1)


def test_weights_alone_are_averaged() -> None:
    fit(WeightAveraging(use_buffers=False))


def test_a_monitor_that_keeps_the_worst_is_pointed_out(tmp_path: Path) -> None:
    """Lightning's mode is min, whatever the metric."""
    said = r"ModelCheckpoint\(monitor='val/accuracy', mode='min'\) keeps the worst weights: .* give mode='max'"
    with pytest.warns(UserWarning, match=said):
        fit(ModelCheckpoint(tmp_path, monitor="val/accuracy"), enable_checkpointing=True)
    with pytest.warns(UserWarning, match=r"EarlyStopping\(monitor='val/nll', mode='max'\) ends a run that improves"):
        fit(EarlyStopping("val/nll", mode="max"))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*the better; give mode=")
        fit(
            EarlyStopping("val/nll"),
            ModelCheckpoint(tmp_path, monitor="val/accuracy", mode="max"),
            enable_checkpointing=True,
        )


def test_float16_weights_are_refused_in_python_too() -> None:
    with pytest.raises(MemUPError, match=r"precision='16-true': float16 weights become NaN"):
        fit(precision="16-true")
