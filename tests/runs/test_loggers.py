"""When Weights & Biases is online."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from memup_lightning.runs.loggers import set_wandb_mode


def mode_after(monkeypatch: pytest.MonkeyPatch, loggers: list[str], **environment: str) -> str | None:
    for name in ("WANDB_MODE", "WANDB_SILENT", "WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        monkeypatch.setenv(name, "to be undone")
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    set_wandb_mode({"logger": [SimpleNamespace(class_path=path, init_args={}) for path in loggers]})
    return os.environ.get("WANDB_MODE")


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_API_KEY": "0" * 40}, "offline"),
        ({"WANDB_MODE": "online"}, "online"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
        ({"WANDB_SWEEP_ID": "abc"}, "online"),
        ({"WANDB_RUN_ID": "abc"}, "online"),
        ({"WANDB_RUN_ID": "abc", "WANDB_MODE": "offline"}, "offline"),
    ],
)
def test_wandb_is_online_where_the_user_or_a_sweep_asks_for_it(
    environment: dict[str, str], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mode_after(monkeypatch, ["CSVLogger", "pytorch_lightning.loggers.WandbLogger"], **environment) == mode
    assert ("WANDB_SILENT" in os.environ) == (mode == "offline")


def test_the_environment_is_left_alone_without_a_wandb_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mode_after(monkeypatch, ["CSVLogger"]) is None
