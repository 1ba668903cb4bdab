"""A run where processes are spawned and POSIX modules are missing, as on Windows and macOS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from memup_lightning.cli.main import main
from tests.command_line import ROOT, tiny

SCRIPT = """
import sys
import psutil  # on this system it needs the module resource itself

sys.modules["fcntl"] = sys.modules["resource"] = None  # a spawned process runs this too

if __name__ == "__main__":
    import multiprocessing

    multiprocessing.set_start_method("spawn")
    import torch
    from memup_lightning.cli.main import main

    cli = main(["fit", "--config=tiny.yaml", "--data.num_workers=2"])
    torch.save(cli.model.state_dict(), "spawned.pt")
"""


def test_a_run_with_spawned_workers_and_without_posix_modules_learns_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(tmp_path)))
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup"])
    here = main(["fit", "--config=tiny.yaml"]).model.state_dict()
    spawned = torch.load("spawned.pt", weights_only=True)
    assert here.keys() == spawned.keys()
    assert all(torch.equal(x, spawned[name]) for name, x in here.items())
