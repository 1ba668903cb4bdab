"""Checkpoints of the command line: what a resumed run continues with, and runs that are evaluated, tested or predict."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest
import torch

from memup_lightning.cli.main import MemUPCLI, main
from tests.cli.tiny_runs import Run

LR = "--model.init_args.optimizer.init_args.lr"


def learning_rate(cli: MemUPCLI) -> float:
    return float(cli.trainer.optimizers[0].param_groups[0]["lr"])


def test_a_resumed_run_continues_with_what_the_checkpoint_holds(run: Run, checkpoint: str) -> None:
    whole = run("fit", "--trainer.max_steps=8")
    resumed = run("fit", "--trainer.max_steps=8", "--ckpt_path", checkpoint)
    assert resumed.trainer.global_step == 8
    assert learning_rate(resumed) == 0.002
    for expected, x in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(expected, x)


def test_an_override_wins_over_the_checkpoint(run: Run, checkpoint: str) -> None:
    resumed = run("fit", "--trainer.max_steps=6", f"{LR}=0.5", "--ckpt_path", checkpoint)
    assert resumed.trainer.global_step == 6
    assert learning_rate(resumed) == 0.5
    kept = torch.load(Path(str(resumed.trainer.log_dir)) / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["optimizer_states"][0]["param_groups"][0]["lr"] == 0.5


def test_an_override_of_the_learning_rate_wins_under_a_schedule(run: Run) -> None:
    schedule = [
        "--model.init_args.lr_scheduler=torch.optim.lr_scheduler.StepLR",
        "--model.init_args.lr_scheduler.step_size=2",
        "--model.init_args.lr_scheduler.gamma=0.5",
    ]
    first = run("fit", *schedule)
    assert learning_rate(first) == pytest.approx(0.002 / 4)
    path = str(Path(str(first.trainer.log_dir)) / "checkpoints" / "last.ckpt")
    resumed = run("fit", *schedule, "--trainer.max_steps=6", f"{LR}=0.2", "--ckpt_path", path)
    assert learning_rate(resumed) == pytest.approx(0.2 / 8)


def test_a_scheduler_that_waits_for_a_metric_lowers_the_rate_after_an_epoch(run: Run) -> None:
    scheduler = "--model.init_args.lr_scheduler"
    plateau = [f"{scheduler}=pytorch_lightning.cli.ReduceLROnPlateau", f"{scheduler}.monitor=val/nll"]
    never_better = [f"{scheduler}.threshold=1e9", f"{scheduler}.threshold_mode=abs", f"{scheduler}.patience=0"]
    cli = run("fit", *plateau, *never_better, "--data.init_args.chunks_per_epoch=4", "--trainer.max_steps=8")
    assert learning_rate(cli) == pytest.approx(0.0002)


@pytest.mark.parametrize(("subcommand", "metric"), [("validate", "val/accuracy"), ("test", "test/accuracy")])
def test_a_checkpoint_is_evaluated(
    run: Run,
    checkpoint: str,
    subcommand: str,
    metric: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        cli = run(subcommand, "--ckpt_path", checkpoint)
    assert sum(checkpoint in message for message in caplog.messages) == 1  # Lightning says it twice
    assert metric in cli.trainer.callback_metrics
    assert f" {metric} (within the tolerance) " in capsys.readouterr().out  # as fit calls it
    held = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(held[name], x) for name, x in cli.model.state_dict().items())


def test_a_run_ends_with_a_verdict_and_the_command_that_tests_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    trained = run("fit")
    said = capsys.readouterr().out
    assert "verdict: The memory explains " in said
    given = shlex.split(said.partition("test it: memup ")[2].partition("\n")[0])
    longer = run("fit", "--ckpt_path", "last", f"--trainer.max_steps={2 * trained.trainer.global_step}")
    capsys.readouterr()
    tested = main(given)  # after the run was continued
    taken = Path(capsys.readouterr().out.partition("taking ")[2].partition("\n")[0])
    folders = [Path(str(cli.trainer.log_dir)).absolute() for cli in (trained, longer)]
    assert [folder in taken.absolute().parents for folder in folders] == [True, False]
    assert "test/accuracy" in tested.trainer.callback_metrics
    assert all(torch.equal(x, y) for x, y in zip(trained.model.parameters(), tested.model.parameters(), strict=True))


def test_predict_writes_a_row_for_each_evaluated_step(
    run: Run, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = run("predict", "--ckpt_path", checkpoint)
    path = Path(str(cli.trainer.log_dir)) / "predictions.csv"
    assert str(path) in capsys.readouterr().out
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["episode"] for row in rows] == ["0", "1", "2", "3"]
    numbers = {"episode", "step", "outcome", "prediction", "lower", "upper"}
    assert set(rows[0]) == numbers | {"correct", "local_uncertainty", "nll"}
    assert all(float(row["outcome"]) in (4.0, -3.0) for row in rows)
