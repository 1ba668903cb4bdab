"""Memory of a training run: it depends neither on how long episodes are nor on how many bytes of them there are."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np

from memup_lightning.data.episodes import FieldSpec
from memup_lightning.data.store import EpisodeStore
from tests.command_line import ROOT
from tests.processes import ForkedProcess

FIELDS = {"x": FieldSpec((8,)), "outcome": FieldSpec(), "eval_mask": FieldSpec((), "bool")}
STEP_BYTES = sum(field.step_bytes for field in FIELDS.values())
MARGIN = 160 << 20
"""Address space that training may take beyond its imports; a loaded data set needs more."""


def in_a_process(function: str, *arguments: Any) -> tuple[int, str]:
    """Call a function of this file in a process of its own; returns its status, and what it says, JSON in the last line."""
    code = f"import sys; sys.path.append('tests/runs'); import test_address_space as t; t.{function}(*{arguments!r})"
    with ForkedProcess(["-c", code], ROOT, dict(os.environ)) as process:
        said = process.communicate()
    assert process.returncode is not None
    return process.returncode, said


def train(data: Any, updates: int) -> Any:
    """Fit MemUP, its targets refreshed on the way; returns the MemoryUsage callback."""
    from pytorch_lightning import Trainer

    from memup_lightning.callbacks import MemoryUsage, TargetRefresh
    from memup_lightning.models.memory import LSTM
    from memup_lightning.modules import MemUP

    usage = MemoryUsage()
    trainer = Trainer(
        accelerator="cpu", max_steps=updates, limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
        callbacks=[TargetRefresh(every=updates, max_steps=20_000, settle=2, max_wait=4), usage],
    )  # fmt: skip
    trainer.fit(MemUP(data.task, memory=lambda input_size: LSTM(input_size, 16)), datamodule=data)
    assert trainer.global_step == updates
    assert data.splits["train"].targets.num_refreshes > 0
    return usage


def train_on_a_store(path: str, loaded: bool, margin: int) -> None:
    """Train under an address-space limit, from the store or from all of its episodes in arrays."""
    import torch

    from memup_lightning.data.episodes import ArrayEpisodes, EpisodeSource
    from memup_lightning.datamodules import EpisodeDataModule
    from memup_lightning.specs import TaskSpec

    class Stored(EpisodeDataModule):
        @property
        def task(self) -> TaskSpec:
            return TaskSpec(fields={"x": FieldSpec((8,))}, inputs={"x": 0}, context=("x",))

        def episodes(self, split: str) -> EpisodeSource:
            store = EpisodeStore(path)
            if not loaded:
                return store
            arrays = {name: np.fromfile(store.path / "fields" / f"{name}.bin", f.dtype) for name, f in FIELDS.items()}
            return ArrayEpisodes({n: x.reshape(-1, *FIELDS[n].shape) for n, x in arrays.items()}, store.lengths, FIELDS)

    torch.set_num_threads(1)
    train(small_mazes(), 8)  # what training itself needs, threads and lazy imports included
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + margin,) * 2)
    train(Stored(lanes=64, chunk_length=10, restart=[0.1]), 60)
    print(json.dumps("trained"))


def small_mazes() -> Any:
    from memup_lightning.datamodules import TMazeDataModule

    return TMazeDataModule(length=100, num_train=4)


def write_store(path: Path, megabytes: int) -> None:
    random = np.random.default_rng(0)
    piece = {
        "x": random.standard_normal((1 << 16, 8), np.float32),
        "outcome": random.standard_normal(1 << 16, np.float32),
        "eval_mask": np.ones(1 << 16, np.bool_),
    }
    with EpisodeStore.writer(path, FIELDS, durable=False) as writer:
        while len(writer) < 4:
            with writer.episode() as episode:
                for _ in range(-(-megabytes * 1_000_000 // (4 * STEP_BYTES << 16))):
                    episode.append(piece)


def test_training_passes_under_a_limit_that_loaded_episodes_break(tmp_path: Path) -> None:
    write_store(tmp_path / "store", 200)
    status, said = in_a_process("train_on_a_store", str(tmp_path / "store"), False, MARGIN)
    assert status == 0, said
    status, said = in_a_process("train_on_a_store", str(tmp_path / "store"), True, MARGIN)
    assert status != 0
    assert "MemoryError" in said, said


def train_on_mazes(length: int) -> None:
    import torch

    from memup_lightning.callbacks.memory_usage import peak_resident_mb
    from memup_lightning.datamodules import TMazeDataModule

    torch.set_num_threads(1)
    usage = train(TMazeDataModule(length=length, num_train=2, chunk_length=10, restart=[0.3, 0.1, 0.02, 0.0]), 30)
    print(json.dumps({"peak_mb": peak_resident_mb(), "saved_tensor_bytes": usage.saved_tensor_bytes}))


def test_a_hundred_times_longer_episodes_take_no_more_memory() -> None:
    found = []
    for length in (10_000, 1_000_000):
        status, said = in_a_process("train_on_mazes", length)
        assert status == 0, said
        found.append(json.loads(said.splitlines()[-1]))
    short, long = found
    assert long["saved_tensor_bytes"] == short["saved_tensor_bytes"] > 0
    assert long["peak_mb"] < 1.05 * short["peak_mb"], found
