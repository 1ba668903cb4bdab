"""How fast are chunks read from disk, and how long does training wait for them?

    python -m benchmarks.stream [--quick] [--json PATH]

An EpisodeStore is written into a temporary folder: the fields of the T-Maze (25 bytes a step), episodes of a million
steps (quick: of 200,000). 64 lanes play it from end to end through a ChunkStream and a DataLoader, with 0, 1 and 2
workers. The plain loop reads the same bytes at the same places: a slice of a memory map for each lane and field, copied
into an array [lanes, steps]; its maps are viewed as plain arrays, which makes their slices four times as fast. Both find
the files in the page cache. Medians of several turns, each side in turn.

`bytes_of_training` is what a training step reads: inputs, and the probes' contexts and outcomes from random places; in
the plain loop as well. `all_fields` is what evaluation reads: every field of every step.

The second table is `fit` with conf/tmaze.yaml's model, loggers and callbacks on such a store: seconds of a training step
inside next(DataLoader) and in joining the targets, as a share of the step; evaluation and target refreshes are left out.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping

from benchmarks.overhead import refresh_seconds
from benchmarks.report import Row, arguments, publish
from benchmarks.runs import fit
from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, OUTCOME
from memup_lightning.data.store import EpisodeStore
from memup_lightning.data.streaming.loader import ChunkLoader
from memup_lightning.data.streaming.samplers import ShuffledLaneSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.datamodules import TMazeDataModule

LANES = 64
PROBES = 2
INPUTS = ("observation", "action", "reward")


def write_store(path: Path, episodes: int, length: int, seed: int = 0) -> EpisodeStore:
    """Episodes with the fields of the T-Maze and random content."""
    fields = TMazeDataModule(length=100, num_train=1).episodes("train").fields
    random = np.random.default_rng(seed)
    with EpisodeStore.writer(path, fields, durable=False) as writer:
        for _ in range(episodes):
            with writer.episode() as episode:
                for _ in range(length // 100_000):
                    size = 100_000
                    episode.append(
                        {
                            "observation": random.random((size, 3), np.float32),
                            "action": random.integers(0, 2, size, np.int32),
                            "reward": random.random(size, np.float32),
                            OUTCOME: random.random(size, np.float32),
                            EVAL_MASK: np.zeros(size, np.bool_),
                        }
                    )
    return EpisodeStore(path)


def make_stream(store: EpisodeStore, chunk_length: int, training: bool, chunks: int) -> ChunkStream:
    task = TMazeDataModule(length=100).task
    schedule = ShuffledLaneSampler(store.lengths, LANES, chunk_length, (0.0,), seed=1)
    return ChunkStream(store, task, schedule, chunks, contexts=not training, probes=PROBES if training else 0, seed=1)


def stream_seconds(store: EpisodeStore, chunk_length: int, training: bool, chunks: int, workers: int) -> float:
    """Seconds of ``chunks`` chunks, after as many to start and warm the workers."""
    stream = make_stream(store, chunk_length, training, 2 * chunks)
    loader = ChunkLoader(stream, workers)
    begin, seen = 0.0, 0.0
    for number, chunk in enumerate(loader):
        if number == chunks:
            begin = time.perf_counter()
        seen += float(chunk.inputs["observation"][0, 0, 0])
    return time.perf_counter() - begin


def plain_seconds(store: EpisodeStore, chunk_length: int, training: bool, chunks: int) -> float:
    """Seconds of slicing the same bytes out of memory maps."""
    stream = make_stream(store, chunk_length, training, 2 * chunks)
    history = 1
    maps = {}
    for name, field in store.fields.items():
        file = store.path / "fields" / f"{name}.bin"
        maps[name] = np.memmap(file, field.dtype, "r").reshape(-1, *field.shape).view(np.ndarray)
    at = stream.schedule.at(np.arange(2 * chunks))
    places = (store.offsets[at.episode] + at.start).tolist()
    random = np.random.default_rng(1)
    probes = random.integers(0, int(store.lengths.sum()), (2 * chunks, LANES * PROBES)).tolist() if training else None
    names = list(INPUTS) if training else list(maps)
    probe_names = ["observation", "action", OUTCOME, EVAL_MASK]
    begin, seen = 0.0, 0.0
    for number, row in enumerate(places):
        if number == chunks:
            begin = time.perf_counter()
        batch = {
            name: np.empty((LANES, history + chunk_length, *maps[name].shape[1:]), maps[name].dtype) for name in names
        }
        for name, out in batch.items():
            array = maps[name]
            for lane, place in enumerate(row):
                first = max(place - history, 0)
                part = array[first : place + chunk_length]
                out[lane, : len(part)] = part
        if probes is not None:
            for name in probe_names:
                array = maps[name]
                out = np.empty((LANES * PROBES, 1, *array.shape[1:]), array.dtype)
                for lane, place in enumerate(probes[number]):
                    out[lane] = array[place : place + 1]
        seen += float(batch["observation"][0, 0, 0])
    return time.perf_counter() - begin


def throughput(store: EpisodeStore, chunk_length: int, training: bool, chunks: int, turns: int) -> list[Row]:
    plain: list[float] = []
    ours: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for _ in range(turns):
        plain.append(chunks / plain_seconds(store, chunk_length, training, chunks))
        for workers, found in ours.items():
            found.append(chunks / stream_seconds(store, chunk_length, training, chunks, workers))
    return [
        {
            "read": "bytes_of_training" if training else "all_fields",
            "chunk_length": chunk_length,
            "workers": workers,
            "stream": statistics.median(found),
            "plain": statistics.median(plain),
            "ratio": statistics.median(a / b for a, b in zip(found, plain, strict=True)),
            "megabytes_per_second": statistics.median(found) * LANES * chunk_length * 25 / 1e6,
            "turns": [{"stream": a, "plain": b} for a, b in zip(found, plain, strict=True)],
        }
        for workers, found in ours.items()
    ]


class WaitingStopwatch(Callback):
    """Seconds of the updates from ``first`` to ``last``, and how many of them passed in waiting for the next chunk and in
    joining its targets; evaluation and target refreshes are left out."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.seconds = self.loading = self.joining = 0.0
        self._began: float | None = None

    def _pause(self) -> None:
        if self._began is not None:
            self.seconds += time.perf_counter() - self._began
            self._began = None

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if self._began is None and self.first <= trainer.global_step < self.last:
            self._began = time.perf_counter()
            self._refreshed = refresh_seconds(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._began is not None and (refreshed := refresh_seconds(trainer)) != self._refreshed:
            self.seconds -= refreshed - self._refreshed
            self._refreshed = refreshed
        if trainer.global_step >= self.last:
            self._pause()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        run: Any = trainer  # Lightning sets callbacks and datamodule without declaring them
        run.callbacks = [callback for callback in run.callbacks if not isinstance(callback, EarlyStopping)]
        data = run.datamodule
        join, make_loader = data.on_before_batch_transfer, data.train_dataloader

        def timed_join(chunk: Chunk, dataloader_idx: int) -> Chunk:
            begin = time.perf_counter()
            joined: Chunk = join(chunk, dataloader_idx)
            if self._began is not None:
                self.joining += time.perf_counter() - begin
            return joined

        def timed_loader() -> Any:
            loader = make_loader()
            plain = type(loader)
            loader.__class__ = type(
                "TimedLoader", (plain,), {"__iter__": lambda loader: self._timed(plain.__iter__(loader))}
            )
            return loader

        data.on_before_batch_transfer, data.train_dataloader = timed_join, timed_loader

    def _timed(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        while True:
            begin = time.perf_counter()
            chunk = next(chunks, None)
            if self._began is not None:
                self.loading += time.perf_counter() - begin
            if chunk is None:
                return
            yield chunk


def waiting(chunk_length: int, workers: int, updates: int, turns: int) -> Row:
    """Share of a training step spent waiting for data."""
    found = []
    for _ in range(turns):
        watch = WaitingStopwatch(updates // 2, updates // 2 + updates)
        with tempfile.TemporaryDirectory() as folder:
            options: dict[str, Any] = {"chunk_length": chunk_length, "num_workers": workers, "num_val": 8}
            fit("conf/tmaze.yaml", folder, 1, watch.last, [watch], **options)
        found.append({"step": watch.seconds, "loading": watch.loading, "joining": watch.joining})
        if not all(found[-1].values()):
            raise RuntimeError(f"the stopwatch measured {found[-1]}: what it times is called no more")
    row = {name: 1000 * statistics.median(x[name] for x in found) / updates for name in found[0]}
    waited = statistics.median((x["loading"] + x["joining"]) / x["step"] for x in found)
    return {"chunk_length": chunk_length, "workers": workers, "share": waited, "turns": found} | {
        f"{name}_ms": value for name, value in row.items()
    }


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads or 1)
    with tempfile.TemporaryDirectory() as folder:
        episodes, length, turns = (12, 200_000, 1) if options.quick else (40, 1_000_000, 3)
        store = write_store(Path(folder) / "store", episodes, length)
        rows: list[Row] = []
        for training in (False, True):
            for chunk_length in (1, 10, 100):
                chunks = (1000 if options.quick else 5000) // (5 if chunk_length == 100 else 1)
                rows += throughput(store, chunk_length, training, chunks, turns)
        columns = "read, chunk_length, workers, stream, plain, ratio, megabytes_per_second"
        publish("chunks per second (64 lanes)", rows, options, columns)
        if options.json:
            options.json = options.json.with_stem(options.json.stem + "_waiting")
        updates, turns = (150, 1) if options.quick else (600, 1)
        rows = []
        for chunk_length in (1, 10, 100):
            rows += [waiting(chunk_length, workers, updates, turns) for workers in (0, 1)]
    columns = "chunk_length, workers, step_ms, loading_ms, joining_ms, share"
    publish("share of a training step spent waiting for data (conf/tmaze.yaml)", rows, options, columns)


if __name__ == "__main__":
    main()
