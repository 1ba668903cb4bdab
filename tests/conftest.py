"""What every test needs: one thread, and Weights & Biases offline and silent."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_seed_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """seed_everything leaves its seed in the environment, from which a datamodule takes its own."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
