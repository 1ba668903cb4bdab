"""A path of a run that does not exist: the one that was meant is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memup_lightning import Predictor
from memup_lightning.cli.main import main
from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.near_paths import checkpoint_hint, nearest_path
from tests.runs.made_runs import make_run


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs in ``lightning_logs`` and ``runs/tmaze``, below the working directory; the last one is the newest."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        make_run(Path("lightning_logs"), number)
    newest = make_run(Path("runs/tmaze"), 0)
    for path in newest.rglob("*.ckpt"):
        os.utime(path, (4e9, 4e9))
    (tmp_path / "lightning_logs" / "version_7").mkdir()  # a run that wrote nothing
    return tmp_path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("lightning_logs/verson_1", "lightning_logs/version_1"),
        ("lightning_log/version_1", "lightning_logs/version_1"),
        ("lightning_logs/version_1/checkpoint/last.ckpt", "lightning_logs/version_1/checkpoints/step=10.ckpt"),
        ("lightning_logs/version_1/checkpoints/step=11.ckpt", "lightning_logs/version_1/checkpoints/step=10.ckpt"),
        ("version_1", "lightning_logs/version_1"),
        ("tmaze/version_0", "runs/tmaze/version_0"),
        ("tmaze", "runs/tmaze"),
        ("run/tmaze/version_0", "runs/tmaze/version_0"),
        ("runs/tmaz", "runs/tmaze"),
        ("lightning_logs/nothing/like/it", None),
    ],
)
def test_a_path_that_is_spelled_like_a_run_is_taken_for_it(given: str, meant: str | None, runs: Path) -> None:
    assert nearest_path(given) == (None if meant is None else Path(meant))
    absolute = nearest_path(runs / given)
    assert absolute in (None, runs / str(meant))
    assert (absolute is None) == (meant is None or given.startswith(("tmaze", "version")))


def test_a_run_without_a_checkpoint_is_never_named() -> None:
    assert nearest_path("lightning_logs/version_7") in (
        Path("lightning_logs/version_0"),
        Path("lightning_logs/version_1"),
    )


def test_the_newest_run_here_is_named_where_none_is_like_it(runs: Path) -> None:
    assert checkpoint_hint("elsewhere") == "the newest run here is runs/tmaze/version_0"
    assert checkpoint_hint(runs / "elsewhere") == "checkpoints are in <run folder>/checkpoints"


@pytest.mark.parametrize("command", ["fit", "test", "predict", "export"])
def test_every_command_names_the_run_that_was_meant(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [] if command == "export" else ["--model=MemUP", "--data=TMazeDataModule"]
    with pytest.raises(SystemExit):
        main([command, *parts, "--ckpt_path=lightning_log/version_1"])
    said = capsys.readouterr().err
    assert "lightning_log/version_1: no such file or folder; did you mean lightning_logs/version_1?" in said


def test_python_names_it_too() -> None:
    with pytest.raises(MemUPError, match=r"no such file or folder; did you mean lightning_logs/version_1\?"):
        Predictor.load("lightning_logs/verson_1")
    with pytest.raises(MemUPError, match=r"version_7: there is no intact checkpoint in this folder; did you mean"):
        Predictor.load("lightning_logs/version_7")


@pytest.mark.parametrize("given", ["lightning_log/version_1/config.yaml", "lightning_logs/version_1"])
def test_the_config_of_a_run_is_named_as_well(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["test", "--config", given])
    assert "did you mean lightning_logs/version_1/config.yaml?" in capsys.readouterr().err
