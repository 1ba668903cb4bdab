"""Types of what makes the parts of a memory-training task, and of the arguments that take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypedDict

from pytorch_lightning.cli import LRSchedulerCallable
from torch import nn

from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import Memory
from memup_lightning.models.outcomes import Outcome
from memup_lightning.models.predictors import OutcomePredictor
from memup_lightning.models.uncertainty import LocalPredictor
from memup_lightning.modules.optimization.optimizers import OptimizerCallable
from memup_lightning.specs import FieldSpec

MemoryCallable: TypeAlias = Callable[[int], Memory] | Callable[[int], nn.Module]  # the first: short class names
EncoderCallable: TypeAlias = Callable[[Mapping[str, FieldSpec]], StepEncoder]
PredictorCallable: TypeAlias = Callable[[int, int, int], OutcomePredictor]
OutcomeCallable: TypeAlias = Callable[[FieldSpec, float], Outcome]
LocalCallable: TypeAlias = Callable[[Mapping[str, FieldSpec], int, int], LocalPredictor]


class PartOptions(TypedDict, total=False):
    """Arguments of :class:`~memup_lightning.modules.memory_task.MemoryTask` but task and memory."""

    outcome: OutcomeCallable | None
    predictor: PredictorCallable
    encoder: EncoderCallable
    context_encoder: EncoderCallable
    local: LocalCallable
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None


class MemoryOptions(PartOptions, total=False):
    """Arguments of :class:`~memup_lightning.modules.memory_task.MemoryTask` but the task; most subclasses take them too."""

    memory: MemoryCallable
