"""Folders of runs, made without training."""

from pathlib import Path

import torch

from memup_lightning.runs.checkpoints.files import AtomicCheckpointIO


def make_run(home: Path, number: int, continues: str = "null") -> Path:
    run = home / f"version_{number}"
    for name in ("step=10", "best_gain"):
        AtomicCheckpointIO().save_checkpoint(
            {"state_dict": {"weight": torch.zeros(1)}, "global_step": 10}, run / "checkpoints" / f"{name}.ckpt"
        )
    (run / "config.yaml").write_text(f"seed_everything: 0\nckpt_path: {continues}\n")
    return run
