"""Each run writes to a folder of its own, whatever its loggers, and overwrites nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from memup_lightning.cli.main import main
from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.run_folder import claim_versions, run_folder
from tests.command_line import tiny

WANDB = {"class_path": "WandbLogger", "init_args": {"save_dir": "runs", "project": "memup"}}


def a_trainer(root: Path, logger: Any = False) -> Trainer:
    return Trainer(default_root_dir=root, logger=logger, accelerator="cpu", enable_model_summary=False)


@pytest.mark.parametrize(("logger", "home"), [(False, "lightning_logs"), ([WANDB], "runs/memup")], ids=["off", "wandb"])
def test_two_runs_write_all_their_files_to_two_folders(
    logger: Any, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    config = tiny(tmp_path)
    config["trainer"]["logger"] = logger
    config["trainer"]["callbacks"].append({"class_path": "RunReport", "init_args": {"pictures": False}})
    Path("config.yaml").write_text(yaml.safe_dump(config))  # the name of the file that a run saves

    def run() -> Path:
        trainer = main(["fit", "--config", "config.yaml"]).trainer
        wandb.finish()  # else the next run of this process would log to the same one
        return run_folder(trainer).absolute()

    first = run()
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file() and "wandb" not in path.parts}
    second = run()
    assert first != second
    assert {path: path.read_bytes() for path in before} == before
    for folder in (first, second):
        assert folder.parent == Path(home).absolute()
        written = {str(path.relative_to(folder)) for path in folder.rglob("*")}
        assert {"config.yaml", "summary.json", "checkpoints/last.ckpt"} <= written
    outside = {path for path in Path().rglob("*.*") if path.is_file() and first.parent not in path.absolute().parents}
    assert {path.name for path in outside if "wandb" not in path.parts} == {"config.yaml"}


def test_a_trainer_without_a_logger_has_one_folder_of_its_own(tmp_path: Path) -> None:
    first, second = a_trainer(tmp_path), a_trainer(tmp_path)
    assert run_folder(first) == run_folder(first) == tmp_path / "lightning_logs" / "version_0"
    assert run_folder(second) == tmp_path / "lightning_logs" / "version_1"


def test_a_wandb_run_that_is_resumed_by_its_id_gets_another_folder(tmp_path: Path) -> None:
    loggers = [WandbLogger(id="abc", project="memup", save_dir=tmp_path) for _ in range(3)]
    names = [run_folder(a_trainer(tmp_path, logger)).relative_to(tmp_path) for logger in loggers]
    assert names == [Path("memup", name) for name in ("abc", "abc-2", "abc-3")]


def test_runs_that_start_at_the_same_time_take_different_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter([0, 0, 1, 0, 1, 2])  # what each finds free, some of it already taken by another
    monkeypatch.setattr(CSVLogger, "_get_next_version", lambda _: next(numbers))
    loggers = [CSVLogger(tmp_path, "runs") for _ in range(3)]
    for logger in loggers:
        claim_versions([logger])
    assert [logger.version for logger in loggers] == [0, 1, 2]


def test_the_loggers_of_one_run_share_a_version(tmp_path: Path) -> None:
    loggers = [CSVLogger(tmp_path, "runs"), CSVLogger(tmp_path, "runs")]
    claim_versions(loggers)
    assert [logger.version for logger in loggers] == [0, 0]


def test_the_version_of_a_run_that_exists_is_refused(tmp_path: Path) -> None:
    claim_versions([CSVLogger(tmp_path, "runs")])
    with pytest.raises(MemUPError, match=r"^version=0: the run .*version_0 exists and would be overwritten"):
        claim_versions([CSVLogger(tmp_path, "runs", version=0)])
    claim_versions([CSVLogger(tmp_path, "runs", version="mine")])
    assert (tmp_path / "runs" / "mine").is_dir()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MemUPError, match="file is a file"):
        run_folder(a_trainer(tmp_path / "file"))
