"""Arguments that all memory-training tasks share."""

from __future__ import annotations

from typing import TypedDict

from pytorch_lightning.cli import LRSchedulerCallable

from memup_lightning.modules.base import OptimizerCallable
from memup_lightning.modules.memory_task import (
    EncoderCallable,
    LocalCallable,
    MemoryCallable,
    OutcomeCallable,
    PredictorCallable,
)


class MemoryOptions(TypedDict, total=False):
    """Arguments of :class:`~memup_lightning.modules.memory_task.MemoryTask` but the task, which each of its subclasses
    takes as well."""

    memory: MemoryCallable
    outcome: OutcomeCallable | None
    predictor: PredictorCallable
    encoder: EncoderCallable
    context_encoder: EncoderCallable
    local: LocalCallable
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None
