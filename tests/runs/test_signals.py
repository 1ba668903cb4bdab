"""SIGTERM ends a run with a checkpoint and status 143, on any number of ranks; SIGINT is never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning import Callback, Trainer

from memup_lightning.data.targets.explainable import Explainable
from memup_lightning.runs.signals import StopOnSignal, Terminated
from tests.command_line import ROOT, tiny
from tests.processes import start_ranks
from tests.runs.test_resume import Run, assert_same

START, STOP = 200, 30  # seconds after which a process counts as hung


class Signal(Callback):
    """Sends a signal to this process during an update, or during the validation after it."""

    def __init__(self, step: int, number: int = signal.SIGTERM, in_validation: bool = False) -> None:
        self.step, self.number, self.in_validation = step, number, in_validation

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        if not self.in_validation and trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, trainer: Trainer, *args: Any) -> None:
        if self.in_validation and trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


def stopped(folder: Path, sender: Callback, **given: Any) -> Path:
    """The checkpoint of a run that gets a signal to stop."""
    with pytest.raises(Terminated) as caught:
        Run(callbacks=[sender, StopOnSignal()], root=folder, **given)
    assert caught.value.code == 143
    (path,) = folder.rglob("sigterm-*.ckpt")
    assert str(path) in str(caught.value)
    return path


@pytest.mark.parametrize(
    ("step", "given", "in_validation"),
    [
        (36, {"num_workers": 2}, False),
        (39, {"selector": Explainable(2), "loss_free": 0.2, "num_clusters": 4}, False),
        (60, {}, True),
    ],
    ids=["workers", "end of an epoch", "validation"],
)
def test_a_run_that_sigterm_stopped_ends_like_the_uncut_run(
    tmp_path: Path, step: int, given: dict[str, Any], in_validation: bool
) -> None:
    path = stopped(tmp_path, Signal(step, in_validation=in_validation), **given)
    assert torch.load(path, weights_only=True)["global_step"] <= step + 2
    assert_same(Run(ckpt=path, seed=99, **given).outcome, Run(**given).outcome)


def test_the_handlers_from_before_a_run_come_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    stopped(tmp_path, Signal(3))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


class Interrupting:
    """Interrupts the process while it is deleted, where Python drops what is raised."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)


class InterruptAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step
        self.last = 0

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.last = trainer.global_step
        if trainer.global_step == self.step:
            Interrupting()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_stops_the_run_all_the_same() -> None:
    sender = InterruptAt(5)
    with pytest.raises(SystemExit):
        Run(callbacks=[sender, StopOnSignal()])
    assert sender.last == 5


# --- real processes


COMMAND = ["memup_lightning", "fit", "--config=config.yaml", "--num_threads=1"]
RANKS = ["--trainer.devices=2", "--trainer.strategy=ddp"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a run whose config, of very many updates, lies in ``tmp_path``."""
    given = tiny(tmp_path)
    given["trainer"] |= {"max_steps": 100_000, "val_check_interval": 50}
    given["data"]["init_args"] |= {"num_workers": 1, "chunks_per_epoch": 25}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given))
    clean = {key: x for key, x in os.environ.items() if not key.startswith("WANDB")}
    return clean | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def wait_for_training(folder: Path, poll: Callable[[], int | None]) -> None:
    limit = time.monotonic() + START
    while not any(path.stat().st_size for path in folder.rglob("metrics.csv")):
        assert poll() is None, (folder / "log").read_text()
        assert time.monotonic() < limit
        time.sleep(0.05)


def assert_stopped(folder: Path, statuses: list[int]) -> None:
    said = (folder / "log").read_text()
    assert statuses == [143] * len(statuses), said
    (path,) = folder.rglob("sigterm-*.ckpt")
    assert path.name in said
    assert torch.load(path, weights_only=True)["lanes"]["states"][0].shape[0] == 4


def test_two_ranks_that_lightning_launched_stop_within_seconds_and_leave_a_checkpoint(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """The first rank, which launched the other, is the process that gets the signal."""
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", *COMMAND, *RANKS]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_for_training(tmp_path, process.poll)
        process.terminate()
        assert_stopped(tmp_path, [process.wait(STOP)])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_two_ranks_that_both_get_the_signal_stop_within_seconds_and_leave_a_checkpoint(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with (tmp_path / "log").open("wb") as log:
        one, two = start_ranks([*COMMAND, *RANKS], tmp_path, environment, 2, log.fileno())
    with one, two:
        try:
            wait_for_training(tmp_path, one.poll)
            for rank in (one, two):
                os.kill(rank.pid, signal.SIGTERM)
            assert_stopped(tmp_path, [rank.wait(STOP) for rank in (one, two)])
        finally:
            one.kill()
            two.kill()
