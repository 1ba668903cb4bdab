"""Runs with replay, and what was played, stored and replayed in them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from memup_lightning.callbacks import Replay, TargetRefresh
from memup_lightning.chunk import Chunk
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from tests.training import quiet_trainer

LANES, CHUNK, EVERY, UPDATES = 8, 5, 20, 60
REPLAYING, SEQUENTIAL = [1, 3, 5, 7], [0, 2, 4, 6]  # half of the lanes, spread evenly


class Watch(Callback):
    """Keeps every training chunk as the model got it, with the state before it and what Replay held then."""

    def __init__(self, replay: Replay, save_at: int = 0, path: Path | None = None) -> None:
        self.replay, self.save_at, self.path = replay, save_at, path
        self.chunks: list[Chunk] = []
        self.before: list[Any] = []
        self.after: list[Any] = []
        self.entered: list[Any] = []
        self.oldest: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Chunk, batch_idx: int) -> None:
        assert isinstance(pl_module, MemUP)
        self.chunks.append(batch)
        self.before.append(pl_module.lanes.after)
        self.entered.append(self.replay._entered)
        if len(self.replay.snapshots):
            self.oldest.append(batch.step - int(self.replay.snapshots.created_at.min()))

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        assert isinstance(pl_module, MemUP)
        self.after.append(pl_module.lanes.after)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.save_at:
            assert self.path is not None
            trainer.save_checkpoint(self.path)


class Run:
    """A fit in objects of its own."""

    def __init__(
        self, updates: int = UPDATES, ckpt: Path | None = None, save: tuple[int, Path] | None = None, **given: Any
    ) -> None:
        seed_everything(given.pop("seed", 1))
        options: dict[str, Any] = {"every": EVERY, "visits": [2, 6], "max_age": 3 * EVERY, "lanes": 8}
        self.replay = Replay(**options | given.pop("replay", {}))
        self.watch = Watch(self.replay, *(save or ()))
        kind, episodes = given.pop("data", (TMazeDataModule, {"length": 60, "hint_window": 0.5, "num_train": 12}))
        self.data = kind(
            **episodes,
            num_val=4,
            chunk_length=CHUNK,
            lanes=LANES,
            chunks_per_epoch=25,
            num_workers=given.pop("num_workers", 0),
            selector=given.pop("selector", None),
            seed=1,
        )
        self.model = MemUP(self.data.task, **{"memory": partial(LSTM, hidden_size=8)} | given)
        self.trainer = quiet_trainer(
            updates,
            [TargetRefresh(every=EVERY, settle=2, max_wait=4), self.replay, self.watch],
            limit_val_batches=0,
        )
        self.trainer.fit(self.model, self.data, ckpt_path=ckpt)

    @property
    def outcome(self) -> dict[str, Tensor]:
        """Weights, optimiser, lanes and snapshots at the end."""
        optimizer = self.trainer.optimizers[0].state_dict()["state"]
        found = dict(self.model.state_dict())
        found |= {f"adam.{n}.{name}": x for n, part in optimizer.items() for name, x in part.items()}
        held = self.replay.snapshots.state_dict()
        states = {"lanes": self.model.lanes.after, "snapshots": held.pop("states")}
        found |= {f"{name}.{n}": x for name, parts in states.items() for n, x in enumerate(_tensors(parts))}
        visits: dict[str, Tensor] = self.replay.state_dict()["visits"]
        return found | held | visits


def _tensors(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [x for part in state for x in _tensors(part)]


def assert_equal_states(one: Any, other: Any) -> None:
    for a, b in zip(_tensors(one), _tensors(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=5e-6)  # sums of float32 in another order


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert not [name for name in one if not torch.equal(one[name], other[name])]


def played_to(run: Run, episode: int, start: int) -> Any:
    """State of the memory, as it is now, after it plays the episode alone up to a step."""
    state = run.model.memory.initial_state(1)
    if start:
        source, task = run.data.sources["train"], run.data.task
        names = list(task.inputs)
        arrays = {
            name: source.gather(np.array([episode]), np.array([-lag]), start, [name])[name]
            for name, lag in task.inputs.items()
        }
        x = run.model.encoder({name: torch.from_numpy(arrays[name]) for name in names})
        _, state = run.model.memory(x, state, torch.ones(1, dtype=torch.bool))
    return state


def redirected(run: Run) -> list[int]:
    """Updates whose chunks had lanes on visits."""
    return [n for n, entered in enumerate(run.watch.entered) if len(entered)]
