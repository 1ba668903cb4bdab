"""Fixtures of the tests of the command line."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from memup_lightning.cli.main import main
from tests.cli.failing import BROKEN, Fails
from tests.cli.tiny_runs import Run
from tests.command_line import tiny


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs a command line that must fail, in a folder with ``tiny.yaml``; returns its one line of complaint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    monkeypatch.delenv("MEMUP_TRACEBACK", raising=False)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(tmp_path)))
    (tmp_path / "broken.py").write_text(textwrap.dedent(BROKEN))

    def run(*args: str) -> str:
        with pytest.raises(SystemExit) as exit_:
            main(args)
        assert exit_.value.code not in (0, None)
        said = capsys.readouterr().err.splitlines()
        (line,) = [line for line in said if line != "Seed set to 1" and not line.startswith("warning: ")]
        assert line.startswith("error: ")
        assert "Traceback" not in line
        assert "Subtypes" not in line
        return line

    return run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a subcommand with the tiny config and more options, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(tmp_path)))
    return lambda subcommand, *options: main([subcommand, "--config", "tiny.yaml", *options])


@pytest.fixture
def checkpoint(run: Run) -> str:
    """The last checkpoint of a tiny run."""
    cli = run("fit")
    return str(Path(str(cli.trainer.log_dir)) / "checkpoints" / "last.ckpt")
