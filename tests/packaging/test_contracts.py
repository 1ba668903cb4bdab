"""The contracts between layers: they hold, and a file that breaks one is noticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import ROOT

PACKAGE = "memup_lightning"
BREACHES = [
    ("data/fingerprint.py", "from memup_lightning.models import outcomes", "data.fingerprint -> {}.models.outcomes"),
    ("models/encoders.py", "from memup_lightning.data import streaming", "models.encoders -> {}.data.streaming"),
    ("models/predictors.py", "import pytorch_lightning", "models.predictors -> pytorch_lightning"),
    ("data/streaming/samplers.py", "import gymnasium", "data.streaming.samplers -> gymnasium"),
    ("models/encoders.py", "from pathlib import Path", "models.encoders -> pathlib"),
    ("modules/baselines/tbptt.py", "from {} import datamodules", "modules.baselines.tbptt -> {}.datamodules"),
    ("rl/agent.py", "from {}.callbacks import run", "rl.agent -> {}.callbacks.run"),
    ("callbacks/run.py", "from {}.cli import main", "callbacks.run -> {}.cli.main"),
    ("envs/policies.py", "def late():\n    from {}.rl import agent", "envs.policies -> {}.rl.agent"),
    ("specs.py", "from {}.data.streaming import samplers", "specs -> {}.data.streaming.samplers"),
    ("models/memory/base.py", "from {}.models.memory import gru", "No cycles are allowed in {}.models.memory"),
    (
        "data/array_files/npz.py",
        "from {}.data.array_files.notes import spellings",
        "array_files.npz -> {}.data.array_files.notes.spellings",
    ),
    ("newcomer.py", "import torch", "{}.newcomer"),
]
"""File, an import that it must not have, what the report says of it."""

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for file, line, _ in BREACHES if folder.name.startswith("broken") else []:
        with (folder / PACKAGE / file).open("a") as breach:
            breach.write(f"\n{line.format(PACKAGE)}\n")
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report on a copy of the package with every breach at once."""
    done = lint(tmp_path_factory.mktemp("broken"))
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_the_package_keeps_its_contracts(tmp_path: Path) -> None:
    done = lint(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(("file", "line", "said"), BREACHES, ids=[f"{file}-{said}" for file, _, said in BREACHES])
def test_a_file_that_breaks_a_layer_is_named(broken: str, file: str, line: str, said: str) -> None:
    assert said.format(PACKAGE) in broken
