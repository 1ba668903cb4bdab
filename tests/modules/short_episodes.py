"""Episodes of random numbers and different lengths, a model of them, and the chunks that it gets."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming.samplers import ShuffledLaneSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemoryTask
from memup_lightning.specs import FieldSpec, TaskSpec

LENGTHS = np.array([23, 4, 9, 17, 5])
LONGEST = int(LENGTHS.max())
LANES = 3


def episodes(eval_mask: bool = True) -> ArrayEpisodes:
    rng = np.random.default_rng(0)
    steps = int(LENGTHS.sum())
    arrays: dict[str, Any] = {
        "see": rng.normal(size=(steps, 2)).astype(np.float32),
        "do": rng.integers(0, 3, steps, np.int32),
        OUTCOME: rng.normal(size=steps).astype(np.float32),
        HAS_OUTCOME: rng.random(steps) < 0.8,
    }
    if eval_mask:
        arrays[EVAL_MASK] = rng.random(steps) < 0.3
    return ArrayEpisodes(arrays, LENGTHS, {"do": FieldSpec((), "int32", "token", 3)})


def model_of(source: ArrayEpisodes, kind: type[MemoryTask], **given: Any) -> Any:
    """A model with the same weights whatever its kind; it logs nothing, and so can be called without a Trainer."""
    task = TaskSpec(source.fields, {"see": 0, "do": 1}, ("see", "do"), source.fields[OUTCOME], window=2)
    torch.manual_seed(0)
    return type("Quiet", (kind,), {"is_log_step": False})(task, **{"memory": partial(LSTM, hidden_size=5)} | given)


def chunks_of(source: ArrayEpisodes, task: TaskSpec, chunk_length: int, count: int) -> list[Chunk]:
    schedule = ShuffledLaneSampler(LENGTHS, LANES, chunk_length)
    return list(ChunkStream(source, task, schedule, count, contexts=True, probes=2))
