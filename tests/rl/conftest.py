"""Fixtures of the tests of agents."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from memup_lightning.cli.main import main
from tests.command_line import tiny
from tests.rl.agents import PHASE_2, Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a subcommand of the second phase, in a folder with ``memory.ckpt`` of the first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    first, second = tiny(tmp_path), tiny(tmp_path) | PHASE_2
    second["trainer"] |= {"max_steps": 10, "val_check_interval": 5}
    second["trainer"]["callbacks"] = [*second["trainer"]["callbacks"][1:], {"class_path": "RunReport"}]
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(first))
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(second))
    cli = main(["fit", "--config", "first.yaml"])
    (Path(str(cli.trainer.log_dir)) / "checkpoints" / "last.ckpt").rename("memory.ckpt")
    return lambda subcommand, *options: main([subcommand, "--config", "second.yaml", *options])
