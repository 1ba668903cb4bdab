"""A run says at its end that it diverged, and why it was stopped early."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping

from memup_lightning.callbacks import RunReport
from memup_lightning.callbacks.metrics import divergence
from tests.runs.test_resume import Run


@pytest.mark.parametrize(
    ("history", "name"),
    [
        ([{"val/mse": 0.5}, {"val/mse": 5e35}], "val/mse"),
        ([{"val/mse": 5e35}], "val/mse"),
        ([{"val/nll": -2.0}, {}], "val/nll"),
        ([{"val/mse": 0.5}, {"val/mse": 0.9}], None),
        ([{"val/mse": 4e7}, {"val/mse": 9e7}], None),
        ([{"val/nll": 0.7, "val/accuracy": 0.5}], None),
        ([], None),
    ],
)
def test_an_error_past_all_bounds_counts_as_diverged(history: list[dict[str, float]], name: str | None) -> None:
    said = divergence(history)
    assert (said is None) if name is None else str(said).startswith(f"{name} is ")


def test_the_summary_names_the_reason_of_an_early_stop(tmp_path: Path) -> None:
    callbacks: list[Any] = [EarlyStopping("val/nll", patience=0, min_delta=100.0), RunReport(pictures=False)]
    Run(callbacks=callbacks, root=tmp_path)
    (path,) = tmp_path.rglob("summary.json")
    summary = json.loads(path.read_text())
    assert summary["finished"]
    assert "val/nll" in summary["reason"]


def test_a_run_with_a_far_too_large_learning_rate_says_that_it_diverged(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"the run diverged: val/\w+ is .* at the end.*give a smaller learning rate"):
        Run(60, callbacks=[RunReport(pictures=False)], root=tmp_path, optimizer=partial(torch.optim.Adam, lr=1e4))
    (path,) = tmp_path.rglob("summary.json")
    summary = json.loads(path.read_text())
    assert summary["diverged"]
    assert "smaller learning rate" in summary["verdict"]["findings"][0]["try_first"]
