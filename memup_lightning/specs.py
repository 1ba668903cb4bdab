"""Specification of a data set for models: fields of a step, fields that memory and predictor read, the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np

from memup_lightning.exceptions import MemUPError, check_at_least

FieldType = Literal["vector", "token", "image"]


@dataclass(frozen=True)
class FieldSpec:
    """Specification of an array that every step of an episode has.

    Args:
        shape: shape of one step, ``()`` for a scalar.
        dtype: NumPy dtype name, as stored.
        type: ``vector`` (numbers, used as they are), ``token`` (class numbers) or ``image`` (height, width, channels).
        classes: number of classes of a ``token``.

    Raises:
        MemUPError: a token without classes, an image without three dimensions or with the channels first.
    """

    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    type: FieldType = "vector"
    classes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.type == "token" and self.classes < 1:
            raise MemUPError(f"a token field needs classes >= 1, got classes={self.classes}")
        if self.type == "image" and len(self.shape) != 3:
            raise MemUPError(f"an image field has shape (height, width, channels), got {self.shape}")
        if self.type == "image" and self.shape[0] <= 4 < min(self.shape[1:]):
            raise MemUPError(
                f"an image field has shape (height, width, channels), and {self.shape} looks like channels first; move the "
                "channels to the end, for example by numpy.moveaxis(frames, -3, -1)"
            )

    @property
    def fill(self) -> int:
        """Value before the first and after the last step of an episode."""
        return -1 if self.type == "token" else 0

    @property
    def step_bytes(self) -> int:
        """Bytes of one step."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class TaskSpec:
    """Fields, inputs, context and outcome of a learning problem. A model is built from it, and its checkpoint holds it.

    Args:
        fields: the fields of a step that inputs, context and outcome are taken from.
        inputs: inputs of the memory at step t: name of a field -> its lag in steps. In reinforcement learning
            ``{"observation": 0, "action": 1, "reward": 1}``: the observation, the action and reward before it.
        context: fields of the local context c_k, which the predictor reads in addition to the memory.
        outcome: what is predicted at a step, y_k: a number or vector (``vector``) or a class (``token``).
        window: number of steps, up to and with k, that the local context spans.
        tolerance: a predicted number counts as right within this distance of the outcome.
    """

    fields: Mapping[str, FieldSpec]
    inputs: Mapping[str, int]
    context: tuple[str, ...]
    outcome: FieldSpec = field(default_factory=FieldSpec)
    window: int = 1
    tolerance: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", tuple(self.context))
        for name in (*self.inputs, *self.context):
            if name not in self.fields:
                raise MemUPError(f"the task has no field {name!r}; its fields are {', '.join(self.fields)}")
        check_at_least(1, window=self.window)
        if not self.inputs or not self.context:
            raise MemUPError(f"inputs={dict(self.inputs)}, context={self.context}: each names at least one field")

    @property
    def input_fields(self) -> dict[str, FieldSpec]:
        return {name: self.fields[name] for name in self.inputs}

    @property
    def context_fields(self) -> dict[str, FieldSpec]:
        return {name: self.fields[name] for name in self.context}

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, which a checkpoint loads with ``weights_only=True``."""
        plain = asdict(self)
        plain["context"] = list(self.context)
        for spec in (*plain["fields"].values(), plain["outcome"]):
            spec["shape"] = list(spec["shape"])
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TaskSpec:
        """Make a specification from the result of :meth:`to_dict`."""
        fields = {name: FieldSpec(**spec) for name, spec in plain["fields"].items()}
        return cls(**{**plain, "fields": fields, "outcome": FieldSpec(**plain["outcome"])})
