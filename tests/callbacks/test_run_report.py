"""RunReport: what it measures and writes, of a run that dies too."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from memup_lightning.callbacks import MemoryUsage, RunReport
from memup_lightning.callbacks.plots import timeline
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import TBPTT, MemUP
from memup_lightning.modules.targets.refresh import TargetRefresh
from tests.callbacks.reported_runs import PICTURES, fit, is_a_picture, maze, read_summary
from tests.training import quiet_trainer

pytestmark = pytest.mark.filterwarnings("error:RunReport")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    fit(folder, maze(), [MemoryUsage(), RunReport()])
    return folder


def test_the_summary_says_what_the_run_was_and_what_came_out(finished: Path) -> None:
    summary = read_summary(finished)
    assert summary["finished"]
    assert summary["reason"] is None
    assert summary["data"] == "TMaze"
    assert summary["updates"] == 40
    assert summary["seed"] == 7
    data = maze()
    data.setup("fit")
    assert summary["environment_steps"] == data.sources["train"].total_steps
    assert data.steps_name == "environment steps"
    assert 0 < summary["seconds_training"] < summary["seconds_total"]
    assert 50 < summary["peak_rss_mb"] < 100_000
    assert summary["saved_tensor_bytes"] > 0
    assert summary["machine"]["torch_threads"] == 1
    assert set(summary["versions"]) == {
        "python",
        "torch",
        "pytorch_lightning",
        "memup_lightning",
        "gymnasium",
        "numpy",
    }
    metrics = summary["metrics"]
    wanted = {
        "val/accuracy",
        "val/memory_gain",
        "val/target_recall",
        "val/nll",
        "val/mse",
        "val/local_accuracy",
        "train/loss",
        "refresh/seconds",
        "memory/saved_tensor_bytes",
        "memory/bptt_bytes_extrapolated",
        "memory/peak_rss_mb",
    }
    assert wanted <= set(metrics)
    assert "loss" not in metrics, "the progress bar's copy of train/loss"
    assert all(isinstance(x, float) for x in metrics.values())


def test_the_pictures_show_something(finished: Path) -> None:
    for name in PICTURES:
        assert is_a_picture(finished / name), name


def test_nothing_half_written_is_left(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {"summary.json", "metrics.csv", *PICTURES}


def test_the_table_at_the_end_names_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, maze(), [MemoryUsage(), RunReport(pictures=False)], steps=2)
    printed = capsys.readouterr().out
    assert "full BPTT (extrapolated)" in printed
    assert str(tmp_path) in re.sub(r"[\s│]", "", printed), "the folder is not cut, it may be wrapped"
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(("model", "name"), [(TBPTT, "│ memory gain  "), (MemUP, "│ memory gain at targets ")])
def test_the_table_names_targets_where_there_are_some(
    model: type[MemUP | TBPTT], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = TMazeDataModule(12, num_train=4, num_val=4, lanes=4)
    report = [TargetRefresh(every=2, settle=1, max_wait=2), RunReport(pictures=False)]
    trainer = quiet_trainer(4, report, val_check_interval=4, default_root_dir=tmp_path, check_val_every_n_epoch=None)
    trainer.fit(model(data.task), data)
    assert name in capsys.readouterr().out


class Stop(Callback):
    def __init__(self, error: BaseException, step: int = 5) -> None:
        self.error = error
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.step:
            raise self.error


@pytest.fixture
def interrupts_as_before() -> Iterator[None]:
    """Lightning ignores further interrupts after the first."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_as_before")
@pytest.mark.parametrize("error", [RuntimeError("the disk is full"), KeyboardInterrupt()])
def test_a_run_that_dies_leaves_what_is_known_and_why(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises((RuntimeError, SystemExit)):
        fit(tmp_path, maze(), [MemoryUsage(), RunReport(), Stop(error)])
    summary = read_summary(tmp_path)
    assert not summary["finished"]
    assert summary["reason"].startswith(type(error).__name__)
    assert str(error) in summary["reason"]
    assert summary["updates"] == 5
    assert summary["saved_tensor_bytes"] > 0
    assert "val/accuracy" not in summary["metrics"]


@pytest.mark.parametrize("logger", [False, True])
def test_a_run_whose_data_cannot_be_set_up_leaves_no_summary(
    tmp_path: Path, logger: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: TMazeDataModule, stage: str) -> None:
        raise MemUPError("no such file")

    monkeypatch.setattr(TMazeDataModule, "setup", refuse)
    with pytest.raises(MemUPError, match="no such file"):
        fit(tmp_path, maze(), [RunReport()], logger=logger)
    assert not list(tmp_path.rglob("summary.json"))


def test_a_run_that_dies_in_the_measured_step_leaves_no_hooks(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fit(tmp_path, maze(), [MemoryUsage(), RunReport(), Stop(RuntimeError(), step=0)])
    assert torch._C._autograd._top_saved_tensors_default_hooks(True) is None


@pytest.mark.filterwarnings("default:RunReport")
def test_a_picture_that_fails_does_not_take_the_run_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "follow_episode", lambda model, data: 1 / 0)
    with pytest.warns(UserWarning, match="could not draw"):
        fit(tmp_path, maze(), [RunReport()], steps=2)
    assert read_summary(tmp_path)["finished"]


def test_a_resumed_run_keeps_its_history_and_its_seconds(tmp_path: Path) -> None:
    saver = ModelCheckpoint(dirpath=tmp_path, save_last=True, every_n_train_steps=25)
    fit(tmp_path / "first", maze(), [RunReport(), saver], steps=25)
    first = read_summary(tmp_path / "first")
    report = RunReport()
    fit(tmp_path / "second", maze(), [report], steps=40, ckpt_path=tmp_path / "last.ckpt")
    assert [row["updates"] for row in report.history] == [20, 40]
    second = read_summary(tmp_path / "second")
    assert second["updates"] == 40
    assert second["seconds_training"] > first["seconds_training"]


def test_the_seconds_of_a_sanity_check_are_no_training(tmp_path: Path) -> None:
    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            seconds.append(report.seconds_training)

    seconds: list[float] = []
    report = RunReport()
    fit(tmp_path, maze(), [report, Watch()], steps=5, sanity_steps=2)
    assert seconds[0] > 0
    assert seconds == sorted(seconds)


def test_without_a_logger_the_report_goes_to_a_folder_of_its_own(tmp_path: Path) -> None:
    fit(tmp_path, maze(), [MemoryUsage(), RunReport()], steps=4, logger=False)
    folder = tmp_path / "lightning_logs" / "version_0"
    assert read_summary(folder)["metrics"]["val/accuracy"] >= 0
    assert is_a_picture(folder / "uncertainty.png"), "nothing was selected yet: the evaluated step is drawn"
