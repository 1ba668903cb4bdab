"""The ChunkLoader hands out what the stream holds, in its order, for any number of workers."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from memup_lightning.callbacks.memory_usage import tensors
from memup_lightning.chunk import Chunk
from memup_lightning.data.streaming import stream as stream_module
from memup_lightning.data.streaming.loader import ChunkLoader
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.datamodules import TMazeDataModule


def make_stream(**given: Any) -> ChunkStream:
    data = TMazeDataModule(**{"length": 60, "lanes": 4, "chunk_length": 7, "chunks_per_epoch": 50, "seed": 1} | given)
    data.setup("fit")
    return data.training_stream


def assert_same(found: list[Chunk], wanted: list[Chunk]) -> None:
    assert [chunk.step for chunk in found] == [chunk.step for chunk in wanted]
    for one, other in zip(found, wanted, strict=True):
        for a, b in zip(tensors(one), tensors(other), strict=True):
            assert a.dtype == b.dtype
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_BLOCK_CHUNKS", 3)  # 17 blocks, the last of them short


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("seconds", [0, 0.005])
def test_chunks_that_are_kept_stay_what_they_were(workers: int, seconds: float) -> None:
    stream, kept = make_stream(), []
    for chunk in ChunkLoader(stream, workers):
        kept.append(chunk)
        time.sleep(seconds)  # workers are ahead, as far as they may
    assert_same(kept, list(stream))


@pytest.mark.parametrize("persistent", [False, True])
def test_an_iteration_that_was_left_disturbs_no_later_one(persistent: bool) -> None:
    stream = make_stream()
    loader = ChunkLoader(stream, 2, persistent_workers=persistent)
    first = iter(loader)
    left = [next(first) for _ in range(5)]
    stream.set_range(20, 50)
    later = list(loader)
    whole = make_stream()
    assert_same(left + later, [*list(whole)[:5], *list(whole)[20:]])


def test_two_iterations_side_by_side_share_no_memory() -> None:
    stream = make_stream()
    loader = ChunkLoader(stream, 1)
    pairs = list(zip(loader, loader, strict=True))
    for side in zip(*pairs, strict=True):
        assert_same(list(side), list(stream))


def test_evaluation_with_idle_lanes_comes_through() -> None:
    data = TMazeDataModule(length=60, num_val=5, evaluation_lanes=2, evaluation_chunk_length=9, seed=1)
    data.setup("validate")
    stream = data.splits["val"].chunks()
    assert_same(list(ChunkLoader(stream, 2)), list(stream))
