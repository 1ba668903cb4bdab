"""Optimizers and schedulers on resume: what was changed since wins, and what cannot be resumed says so."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.cli import ReduceLROnPlateau
from torch.optim import lr_scheduler

from memup_lightning.exceptions import MemUPError
from tests.runs.test_resume import Run, SaveAt

CUT, END = 12, 20


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    return tmp_path / "cut.ckpt"


def rates(**given: Any) -> float:
    (group,) = Run(END, **given).trainer.optimizers[0].param_groups
    return float(group["lr"])


@pytest.mark.parametrize(
    ("make", "before", "after"),
    [
        (lr_scheduler.CosineAnnealingLR, {"T_max": 50}, {"T_max": 400}),
        (lr_scheduler.OneCycleLR, {"max_lr": 0.1, "total_steps": 15}, {"max_lr": 0.1, "total_steps": 100}),
        (lr_scheduler.OneCycleLR, {"max_lr": 0.1, "total_steps": 50}, {"max_lr": 0.2, "total_steps": 50}),
        (lr_scheduler.LinearLR, {"total_iters": 10}, {"total_iters": 100}),
        (lr_scheduler.StepLR, {"step_size": 5}, {"step_size": 8, "gamma": 0.5}),
        (lr_scheduler.MultiStepLR, {"milestones": [5]}, {"milestones": [5, 15]}),
    ],
)
def test_changed_settings_of_a_schedule_win(
    ckpt: Path, make: Any, before: dict[str, Any], after: dict[str, Any]
) -> None:
    Run(CUT, save=SaveAt(CUT, ckpt), lr_scheduler=partial(make, **before))
    assert rates(ckpt=ckpt, lr_scheduler=partial(make, **after)) == pytest.approx(
        rates(lr_scheduler=partial(make, **after)), rel=1e-6
    )


def test_another_class_of_schedule_wins(ckpt: Path) -> None:
    Run(CUT, save=SaveAt(CUT, ckpt), lr_scheduler=partial(lr_scheduler.StepLR, step_size=5))
    other = partial(lr_scheduler.LinearLR, total_iters=40)
    assert rates(ckpt=ckpt, lr_scheduler=other) == pytest.approx(rates(lr_scheduler=other), rel=1e-6)


def test_a_schedule_that_is_over_before_the_resumed_update_says_so(ckpt: Path) -> None:
    Run(CUT, save=SaveAt(CUT, ckpt), lr_scheduler=partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=50))
    with pytest.raises(MemUPError, match=r"after 12 steps of the schedule.*at least as many steps"):
        Run(END, ckpt=ckpt, lr_scheduler=partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=8))


def test_another_optimizer_is_refused(ckpt: Path) -> None:
    Run(CUT, save=SaveAt(CUT, ckpt))
    with pytest.raises(MemUPError, match="holds the state of MemoryAdam, but this run has RMSprop"):
        Run(END, ckpt=ckpt, optimizer=partial(torch.optim.RMSprop, lr=1e-3))


def test_weights_alone_cannot_be_resumed(ckpt: Path) -> None:
    Run(CUT).trainer.save_checkpoint(ckpt, weights_only=True)
    with pytest.raises(MemUPError, match=r"weights alone \(save_weights_only=True\).*InitialWeights"):
        Run(END, ckpt=ckpt)


def test_a_rate_that_follows_a_metric_falls_when_the_metric_stays() -> None:
    plateau = partial(ReduceLROnPlateau, monitor="val/nll", patience=0, factor=0.1, threshold=100.0)
    run = Run(100, lr_scheduler=plateau)  # epochs end after 40 and 80 updates; evaluated after 30, 60 and 90
    assert run.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(4e-5)  # fell twice


def test_a_plateau_without_a_metric_is_refused() -> None:
    with pytest.raises(MemUPError, match=r"which metric it follows; give pytorch_lightning.cli.ReduceLROnPlateau"):
        Run(1, lr_scheduler=lr_scheduler.ReduceLROnPlateau)
