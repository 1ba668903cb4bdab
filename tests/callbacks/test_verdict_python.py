"""A run that was made in Python is advised arguments of Python; one of the command line, options."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from pytorch_lightning import seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from memup_lightning.callbacks import BestWeights, RunReport, Verdict
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.judge import judge
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.modules import MemUP
from tests.callbacks.any_runs import CASES, runs
from tests.callbacks.made_runs import HALF, NOTHING, RISING, STANDING, changed, judged, run, split, table
from tests.training import quiet_trainer

OPTION = re.compile(r"--\w|init_args|(?<!`)\btrainer\.\w+=")
MANY = ("load", "oil temp", "c", "d", "e", "f")


def words(findings: list[Finding]) -> str:
    return " ".join(f"{finding.sentence} {finding.try_first}" for finding in findings)


@pytest.mark.parametrize("name", CASES)
def test_no_verdict_of_a_run_in_python_names_an_option(name: str) -> None:
    for case in (CASES[name], changed(CASES[name], inputs=table(MANY), used_columns=MANY[:2], checkpoint="last.ckpt")):
        assert not OPTION.search(words(judge(case)))


@settings(max_examples=100, deadline=None)
@given(runs)
def test_no_verdict_of_any_run_in_python_names_an_option(measurements: Measurements) -> None:
    assert not OPTION.search(words(judge(measurements)))


@pytest.mark.parametrize(
    ("measurements", "python", "options"),
    [
        (
            run(HALF, history=RISING, checkpoint="runs/last.ckpt"),
            "continue: max_steps=10000, ckpt_path='runs/last.ckpt'",
            "continue: --ckpt_path=last --trainer.max_steps=10000",
        ),
        (
            run(HALF, history=RISING),
            "continue: max_steps=10000",
            "continue: --ckpt_path=last --trainer.max_steps=10000",
        ),
        (
            run(HALF, history=STANDING, memory=("GRU", 64)),
            "start again with a wider memory: memory=partial(GRU, hidden_size=128)",
            "start again with a wider memory: --model.init_args.memory=GRU --model.init_args.memory.hidden_size=128",
        ),
        (
            run(NOTHING, recall=0.1, num_targets=2),
            "select more targets: num_targets=8",
            "select more targets: --data.init_args.selector.init_args.num_targets=8",
        ),
        (
            run(split(-1.4), split(0.9), inputs=table(MANY), used_columns=MANY[:2]),
            "depend: x=['load', 'oil temp']; then add",
            'depend: --data.x=[load, "oil temp"]; then add',
        ),
    ],
)
def test_an_advice_is_written_for_where_the_run_was_made(measurements: Measurements, python: str, options: str) -> None:
    assert python in str(judge(measurements)[0].try_first)
    assert options in str(judged(measurements)[0].try_first)


def test_what_a_run_in_python_says_holds_no_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    draw = np.random.default_rng(1)
    np.savez(tmp_path / "own.npz", x=draw.standard_normal((32, 12, 3)), y=draw.integers(0, 2, 32))
    seed_everything(1)
    data, verdict, best = ArrayDataModule(str(tmp_path / "own.npz"), lanes=4), Verdict(), BestWeights()
    callbacks = [verdict, best, RunReport(pictures=False), ModelCheckpoint(tmp_path / "kept", save_last=True)]
    trainer = quiet_trainer(
        4,
        callbacks,
        val_check_interval=2,
        check_val_every_n_epoch=None,
        enable_checkpointing=True,
        default_root_dir=tmp_path,
        logger=CSVLogger(tmp_path, name="", version=""),
        max_epochs=-1,
    )
    with caplog.at_level("INFO"):
        trainer.fit(MemUP(data.task), data)
    printed = capsys.readouterr().out
    assert "try first: " in printed
    assert not OPTION.search(printed + caplog.text)
    assert f"ckpt_path={str(tmp_path / 'kept' / 'last.ckpt')!r}" in str(verdict.findings[0].try_first)
