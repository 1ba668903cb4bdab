"""Streams over small episodes in which every value names its episode and step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming.samplers import LaneSampler, SequentialSampler, ShuffledLaneSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.specs import FieldSpec, TaskSpec

LENGTHS = np.array([9, 1, 17, 30, 4, 12])


def episodes(lengths: npt.NDArray[np.int64] = LENGTHS, seed: int = 0) -> ArrayEpisodes:
    rng = np.random.default_rng(seed)
    steps = int(lengths.sum())
    arrays = {
        "see": rng.normal(size=(steps, 2)).astype(np.float32),
        "do": rng.integers(0, 5, steps, np.int32),
        OUTCOME: rng.normal(size=steps).astype(np.float32),
        HAS_OUTCOME: rng.random(steps) < 0.8,
        EVAL_MASK: rng.random(steps) < 0.5,
    }
    return ArrayEpisodes(arrays, lengths, {"do": FieldSpec((), "int32", "token", 5)})


def task_of(source: ArrayEpisodes, window: int = 3, lag: int = 1) -> TaskSpec:
    return TaskSpec(source.fields, inputs={"see": 0, "do": lag}, context=("see", "do"), window=window)


def step_of(source: ArrayEpisodes, name: str, episode: int, step: int) -> npt.NDArray[Any]:
    """One step of a field as the arrays hold it; -1 for tokens and 0 for numbers where there is none."""
    if not 0 <= step < source.lengths[episode]:
        return np.full(source.fields[name].shape, -1 if name == "do" else 0, source.arrays[name].dtype)
    array: npt.NDArray[Any] = source.arrays[name][int(source.lengths[:episode].sum()) + step]
    return array


def stream_of(source: ArrayEpisodes, schedule: LaneSampler, epoch: int = 40, **kwargs: Any) -> ChunkStream:
    return ChunkStream(source, kwargs.pop("task", task_of(source)), schedule, epoch, **kwargs)


def flat(part: Any, prefix: str = "") -> dict[str, Tensor]:
    """Every tensor of a chunk by its path."""
    if isinstance(part, Tensor):
        return {prefix: part}
    if part is None or isinstance(part, int):
        return {}
    items = part.items() if isinstance(part, dict) else vars(part).items()
    return {path: x for name, value in items for path, x in flat(value, f"{prefix}.{name}").items()}


def assert_same(chunks: list[Chunk], others: list[Chunk]) -> None:
    assert len(chunks) == len(others)
    for one, other in zip(chunks, others, strict=True):
        a, b = flat(one), flat(other)
        assert one.step == other.step
        assert a.keys() == b.keys()
        for path in a:
            assert a[path].dtype == b[path].dtype, path
            assert torch.equal(a[path], b[path]), path


def run_over(schedule: LaneSampler, chunks: list[Chunk]) -> list[tuple[int, int, int, int, Chunk]]:
    """(lane, place, episode, step, chunk) of every step that exists in the chunks."""
    at = schedule.at(np.arange(len(chunks)))
    return [
        (lane, place, int(at.episode[n, lane]), int(at.start[n, lane]) + place, chunk)
        for n, chunk in enumerate(chunks)
        for lane in range(schedule.lanes)
        for place in range(schedule.chunk_length)
        if at.episode[n, lane] >= 0 and at.start[n, lane] + place < LENGTHS[at.episode[n, lane]]
    ]


SCHEDULES = {
    "training": ShuffledLaneSampler(LENGTHS, 4, 5, (0.3, 0.0), seed=3),
    "evaluation": SequentialSampler(LENGTHS, 4, 7),
}
