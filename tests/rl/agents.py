"""The configs of an agent of two phases: a memory is trained, then a policy on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from memup_lightning.cli.main import MemUPCLI

Run = Callable[..., MemUPCLI]
ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001}}
PHASE_2: dict[str, Any] = {
    "model": {"class_path": "PPO", "init_args": {"memory": "memory.ckpt", "optimizer": ADAM}},
    "data": {
        "class_path": "RolloutDataModule",
        "init_args": {
            "env_id": "memup/TMaze-v0",
            "env_kwargs": {"length": 30},
            "num_envs": 4,
            "num_steps": 10,
            "update_epochs": 2,
            "num_minibatches": 2,
            "rollouts_per_epoch": 2,
            "num_val": 3,
            "num_test": 6,
            "success_return": 0,
        },
    },
}


def last(cli: MemUPCLI) -> str:
    return str(Path(str(cli.trainer.log_dir)) / "checkpoints" / "last.ckpt")
