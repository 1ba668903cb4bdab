"""Chunks of a stream: they carry only what the module asked for, are split, and get other lanes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError


def test_a_chunk_without_contexts_says_how_a_module_gets_them() -> None:
    data = TMazeDataModule(length=10, num_train=4, lanes=2, chunk_length=10)
    data.setup("fit")
    without = next(iter(data.training_lanes().stream(1, contexts=False)))
    with pytest.raises(MemUPError, match=r"returns True from needs_own_steps\(\)"):
        without.windows(1)
    assert next(iter(data.training_lanes().stream(1, contexts=True))).windows(1)["observation"].shape == (2, 10, 1, 3)


def chunks_with_targets(count: int) -> list[Chunk]:
    data = TMazeDataModule(length=10, num_train=8, lanes=4, chunk_length=3)
    data.setup("fit")
    return [data.join("train", chunk) for chunk in data.training_lanes().stream(count, contexts=True)]


def tensors(chunk: Chunk) -> list[Tensor]:
    found: list[Tensor] = []
    chunk.map(found.append)
    return found


def test_a_chunk_is_split_into_the_steps_that_it_concatenates() -> None:
    chunks = chunks_with_targets(3)
    whole = chunks[0].map(lambda *parts: torch.cat(parts), *chunks[1:])
    assert whole.lanes == 12
    parts = whole.split([chunk.step for chunk in chunks])
    assert [part.step for part in parts] == [0, 1, 2]
    for part, chunk in zip(parts, chunks, strict=True):
        assert part.probes is not None
        assert part.targets is not None
        assert part.loss_free is chunk.loss_free is None
        assert all(map(torch.equal, tensors(part), tensors(chunk)))


def test_lanes_are_replaced_with_their_targets_and_without_their_probes() -> None:
    one, other = chunks_with_targets(2)
    pasted = one.with_lanes(torch.tensor([2]), other.map(lambda x: x[2:3]))
    assert pasted.step == one.step
    assert pasted.probes is one.probes
    assert one.targets is not None
    assert pasted.start.tolist() == [one.start[0], one.start[1], other.start[2], one.start[3]]
    for mine, before, new in zip(*(tensors(replace(x, probes=None)) for x in (pasted, one, other)), strict=True):
        assert torch.equal(mine[2], new[2])
        assert torch.equal(mine[[0, 1, 3]], before[[0, 1, 3]])
