"""A small MemUP, which is called without a Trainer, and episodes and chunks for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming.samplers import ShuffledLaneSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.data.streaming.target_join import TargetJoin
from memup_lightning.data.targets import Selector, TargetTable
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from memup_lightning.specs import FieldSpec, TaskSpec

LENGTHS = np.array([23, 4, 9, 17, 5])
R = 6


class Quiet(MemUP):
    """Logs nothing, so that it can be called without a Trainer."""

    is_log_step = False  # type: ignore[assignment]


def episodes(seed: int = 0, classes: int = 0) -> ArrayEpisodes:
    rng = np.random.default_rng(seed)
    steps = int(LENGTHS.sum())
    arrays: dict[str, Any] = {
        "see": rng.normal(size=(steps, 2)).astype(np.float32),
        "do": rng.integers(0, 3, steps, np.int32),
        OUTCOME: rng.integers(0, classes, steps, np.int32) if classes else rng.normal(size=steps).astype(np.float32),
        HAS_OUTCOME: rng.random(steps) < 0.8,
    }
    return ArrayEpisodes(arrays, LENGTHS, {"do": FieldSpec((), "int32", "token", 3), OUTCOME: outcome_field(classes)})


def outcome_field(classes: int) -> FieldSpec:
    return FieldSpec((), "int32", "token", classes) if classes else FieldSpec()


def task_of(source: ArrayEpisodes, window: int = 2) -> TaskSpec:
    return TaskSpec(source.fields, {"see": 0, "do": 1}, ("see", "do"), source.fields[OUTCOME], window)


def model_of(task: TaskSpec, seed: int = 0, **parts: Any) -> Quiet:
    torch.manual_seed(seed)
    return Quiet(task, memory=partial(LSTM, hidden_size=5), **{"current_step": False} | parts)


def chunks_of(
    source: ArrayEpisodes, task: TaskSpec, selector: Selector, count: int, contexts: bool = False
) -> list[Chunk]:
    """Training chunks of 3 lanes with targets by random scores."""
    schedule = ShuffledLaneSampler(LENGTHS, 3, R, (0.2, 0.0))
    join = TargetJoin(source, task, scored_table(selector), schedule)
    stream = ChunkStream(source, task, schedule, count, contexts=contexts, probes=2)
    return [join(chunk) for chunk in stream]


def scored_table(selector: Selector) -> TargetTable:
    """Targets by random scores."""
    table = TargetTable(selector, len(LENGTHS))
    longest = int(LENGTHS.max())
    score = torch.rand(len(LENGTHS), longest, generator=torch.Generator().manual_seed(5))
    position = torch.arange(longest).expand(len(LENGTHS), -1)
    collector = table.collect(np.arange(len(LENGTHS)), torch.device("cpu"))
    collector.extend(score, position, position < torch.from_numpy(LENGTHS)[:, None])
    collector.finish()
    table.complete_refresh()
    return table


def context_of(source: ArrayEpisodes, task: TaskSpec, episode: int, step: int) -> dict[str, Tensor]:
    """c_k of one step, ``[1, W, ...]``, from the arrays."""
    at = source.gather(np.array([episode]), np.array([step - task.window + 1]), task.window, task.context)
    return {name: torch.from_numpy(x) for name, x in at.items()}
