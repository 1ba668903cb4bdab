"""When Weights & Biases is online; metrics.csv is written as a whole."""

from __future__ import annotations

import csv
import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from pytorch_lightning.loggers import CSVLogger

from memup_lightning.cli.main import main
from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.loggers import check_loggers, leave_out_missing_wandb, set_wandb_mode, write_metrics_whole
from tests.command_line import tiny


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


def csv_logger(folder: Path) -> CSVLogger:
    logger = CSVLogger(folder, name="", version="")
    write_metrics_whole(SimpleNamespace(loggers=[logger]))  # type: ignore[arg-type]
    return logger


def test_metrics_keep_their_rows_when_a_column_is_added(tmp_path: Path) -> None:
    logger = csv_logger(tmp_path)
    logged: list[dict[str, float]] = [{"loss": 1.0}, {"loss": 0.5, "accuracy": 0.9}, {"loss": 0.25}]
    for step, metrics in enumerate(logged):
        logger.log_metrics(metrics, step)
        logger.save()
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == ["1.0", "0.5", "0.25"]
    assert [row["accuracy"] for row in rows] == ["", "0.9", ""]
    assert [row["step"] for row in rows] == ["0", "1", "2"]


@pytest.mark.parametrize("new", [{"loss": 0.5}, {"loss": 0.5, "accuracy": 0.9}])
def test_a_full_disk_leaves_the_metrics_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: dict[str, float]
) -> None:
    logger = csv_logger(tmp_path)
    logger.log_metrics({"loss": 1.0}, 0)
    logger.save()
    before = (tmp_path / "metrics.csv").read_text()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        logger.log_metrics(new, 1)
        with pytest.raises(MemUPError, match=r"metrics\.csv cannot be written \(the disk is full\)"):
            logger.save()
    assert (tmp_path / "metrics.csv").read_text() == before
    logger.save()
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


@pytest.fixture
def no_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)


@pytest.mark.usefixtures("no_wandb")
def test_a_run_without_wandb_keeps_its_other_loggers_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup"])
    config = tiny(tmp_path)
    wandb = {"class_path": "WandbLogger", "init_args": {"project": "memup", "save_dir": "runs"}}
    config["trainer"] |= {"max_steps": 1, "logger": [config["trainer"]["logger"], wandb]}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    with pytest.warns(UserWarning, match="wandb is not installed.*pip install wandb"):
        cli = main(["fit", "--config=tiny.yaml"])
    assert [type(logger) for logger in cli.trainer.loggers] == [CSVLogger]
    assert cli.trainer.global_step == 1


@pytest.mark.usefixtures("no_wandb")
def test_a_run_that_is_logged_to_wandb_alone_needs_it() -> None:
    alone = SimpleNamespace(class_path="pytorch_lightning.loggers.WandbLogger", init_args={})
    with pytest.raises(MemUPError, match="wandb is not installed; pip install wandb, or take CSVLogger"):
        leave_out_missing_wandb({"logger": alone})


@pytest.mark.parametrize(
    ("logger", "package"),
    [("TensorBoardLogger", "tensorboard"), ("MLFlowLogger", "mlflow"), ("CometLogger", "comet_ml")],
)
def test_a_logger_whose_package_is_missing_is_one_sentence(
    logger: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    given = {"logger": [SimpleNamespace(class_path=f"pytorch_lightning.loggers.{logger}", init_args={})]}
    with pytest.raises(
        MemUPError, match=f"={logger}: {package} is not installed; pip install {package}, or take CSVLogger"
    ):
        check_loggers(given)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorboardX" or name == package)
    check_loggers(given)
