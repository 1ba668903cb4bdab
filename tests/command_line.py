"""A small config, and the command line as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def tiny(folder: Path) -> dict[str, Any]:
    """A config that trains for 4 updates on a maze of 30 steps; its logs lie in ``folder/runs``."""
    return {
        "seed_everything": 1,
        "trainer": {
            "accelerator": "cpu",
            "max_steps": 4,
            "val_check_interval": 4,
            "log_every_n_steps": 2,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": {"class_path": "CSVLogger", "init_args": {"save_dir": str(folder / "runs"), "name": "tiny"}},
            "callbacks": [{"class_path": "TargetRefresh", "init_args": {"every": 2, "settle": 1, "max_wait": 2}}],
        },
        "model": {
            "class_path": "MemUP",
            "init_args": {
                "memory": {"class_path": "LSTM", "init_args": {"hidden_size": 8}},
                "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.002}},
            },
        },
        "data": {
            "class_path": "TMazeDataModule",
            "init_args": {"length": 30, "lanes": 4, "num_train": 8, "num_val": 4, "num_test": 4},
        },
    }


def command(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: x for name, x in os.environ.items() if not name.startswith("WANDB")}
    return subprocess.run(
        [sys.executable, "-m", "memup_lightning", *args],
        cwd=cwd,
        env=clean | {"PYTHONPATH": str(ROOT), "HOME": str(cwd), "NETRC": str(cwd / "none")} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
