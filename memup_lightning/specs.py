"""Specification of a data set for models: fields of a step, fields that memory and predictor read, the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from math import prod
from typing import Any, Literal

import numpy as np

from memup_lightning.exceptions import MemUPError, check_counts, check_effect, counted

FieldType = Literal["vector", "token", "image"]
AND = " & "
"""Between the parts of a class's name that joins classes of several columns, such as ``fault=true & leak=none``."""
_TOLERANCE = 0.25  # by default
_SEQUENCES = ("shape", "names", "means", "entries", "sizes")  # attributes of a field that are tuples
_CHANNELS, _SMALLEST_SIDE = (1, 3, 4), 8  # of a picture
_MAX_SIZES = 5  # entries whose numbers of classes are listed


@dataclass(frozen=True)
class FieldSpec:
    """Specification of an array that every step of an episode has.

    Args:
        shape: shape of one step, ``()`` for a scalar.
        dtype: NumPy dtype name, as stored.
        type: ``vector`` (numbers), ``token`` (class numbers) or ``image`` (height, width, channels).
        classes: number of classes of a ``token``.
        names: of the classes of a ``token``, as the data call them, or of the components of a ``vector``. A token of the
            inputs has one class more, for values that the training episodes do not hold.
        means: of each component in the training episodes, which replaces a missing number; empty where none may be
            missing.
        entries: of an environment's flat array that the field holds; empty: all.
        sizes: number of classes of each entry of a ``token``, where they differ; for people alone.

    Raises:
        MemUPError: a token without classes, an image without three dimensions or with the channels first.
    """

    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    type: FieldType = "vector"
    classes: int = 0
    names: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    entries: tuple[int, ...] = ()
    sizes: tuple[int, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name in _SEQUENCES:
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.type == "token" and self.classes < 1:
            raise MemUPError(f"a token field needs classes >= 1, got classes={self.classes}")
        if self.type == "image" and len(self.shape) != 3:
            raise MemUPError(f"an image field has shape (height, width, channels), got {self.shape}")
        if self.type == "image" and self.shape[0] <= 4 < min(self.shape[1:]):
            raise MemUPError(
                f"an image field has shape (height, width, channels), and {self.shape} looks like channels first; move the "
                "channels to the end, for example by numpy.moveaxis(frames, -3, -1)"
            )

    def __str__(self) -> str:
        size = prod(self.shape)
        if self.sizes:
            few = len(self.sizes) <= _MAX_SIZES
            *others, last = map(str, self.sizes)
            each = f"{', '.join(others)} and {last}" if few else f"{min(self.sizes)} to {max(self.sizes)}"
            return f"{'' if few else f'{size:,} '}entries of {each} classes"
        if self.type == "token":
            return f"{f'{size:,} entries, each ' * (size > 1)}one of {counted(self.classes, 'class')}"
        if self.type == "image":
            return "image of " + "x".join(map(str, self.shape))
        return "a number" if size == 1 else f"{size:,} numbers"

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
        context: fields of the local context c_k, which the predictor reads in addition to the memory; not the outcome.
        outcome: what is predicted at a step, y_k: a number or vector (``vector``) or a class (``token``).
        window: number of steps, up to and with k, that the local context spans.
        tolerance: a predicted number counts as right within this distance of the outcome, in spreads of the outcome: see
            :class:`~memup_lightning.models.outcomes.ContinuousOutcome`.
    """

    fields: Mapping[str, FieldSpec]
    inputs: Mapping[str, int]
    context: tuple[str, ...]
    outcome: FieldSpec = field(default_factory=FieldSpec)
    window: int = 1
    tolerance: float = _TOLERANCE

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", tuple(self.context))
        for name in (*self.inputs, *self.context):
            if name not in self.fields:
                raise MemUPError(f"the task has no field {name!r}; its fields are {', '.join(self.fields)}")
        check_counts(1, window=self.window)
        if not self.tolerance >= 0:
            raise MemUPError(f"tolerance={self.tolerance}: give a distance of at least 0, in spreads of the outcome")
        if self.outcome.type == "token":
            check_effect(
                "tolerance", self.tolerance, _TOLERANCE, "where the outcome is a class, which is right or wrong"
            )
        if "outcome" in self.context or self.inputs.get("outcome", 1) < 1:
            raise MemUPError(
                f"inputs={dict(self.inputs)}, context={self.context}: the model would read the outcome that it predicts; "
                "leave it out of the context, and give it as an input with a lag of at least 1"
            )
        if not self.inputs or not self.context:
            raise MemUPError(f"inputs={dict(self.inputs)}, context={self.context}: each names at least one field")

    @property
    def input_fields(self) -> dict[str, FieldSpec]:
        """Fields that the memory reads, by name."""
        return {name: self.fields[name] for name in self.inputs}

    @property
    def context_fields(self) -> dict[str, FieldSpec]:
        """Fields of the local context, by name."""
        return {name: self.fields[name] for name in self.context}

    def check_same_names(self, other: TaskSpec) -> None:
        """Refuse a task whose classes or columns are others, or have other means: its numbers mean something else.

        Args:
            self: the task that a model was trained on.
            other: the task of the data.

        Raises:
            MemUPError: naming a field, and a name or mean that differs.
        """
        mine = {**self.fields, "the outcome": self.outcome}
        theirs = {**other.fields, "the outcome": other.outcome}
        for name in dict.fromkeys((*mine, *theirs)):
            for what in ("names", "means"):
                trained, given = (getattr(fields.get(name), what, ()) for fields in (mine, theirs))
                if trained != given:
                    differing = next(x for x in zip_longest(trained, given) if x[0] != x[1])
                    raise MemUPError(
                        f"the {what} of {name} are others than the model was trained with ({differing[1]} where it was "
                        f"{differing[0]}); give the training data of the model, from which they follow"
                    )

    def check_same_fields(self, other: TaskSpec) -> None:
        """Refuse a task whose inputs, context or outcome are others than those that a model was made for.

        Args:
            self: the task of the model.
            other: the task of the data.

        Raises:
            MemUPError: naming what differs first.
        """
        mine = {"inputs": dict(self.inputs), "context": self.context, "window": self.window}
        theirs = {"inputs": dict(other.inputs), "context": other.context, "window": other.window}
        for name in (*self.inputs, *self.context, "the outcome"):
            specs = [task.outcome if name == "the outcome" else task.fields.get(name) for task in (self, other)]
            mine[name], theirs[name] = (spec and (spec.type, spec.shape, spec.classes) for spec in specs)
            chosen = f"the choice of entries of {name}"
            mine[chosen], theirs[chosen] = (spec and spec.entries for spec in specs)
        for name, expected in mine.items():
            if theirs[name] != expected:
                raise MemUPError(
                    f"the model was made for other data: {name} is {theirs[name]} in the data and {expected} in the model; "
                    "make the model from the task of these data: MemUP(data.task)"
                )

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, which a checkpoint loads with ``weights_only=True``."""
        plain = asdict(self)
        plain["context"] = list(self.context)
        for spec in (*plain["fields"].values(), plain["outcome"]):
            spec |= {name: list(spec[name]) for name in _SEQUENCES}
        return plain

    @classmethod
    def parse(cls, given: Any) -> TaskSpec:
        """Return a specification, or make one from the result of :meth:`to_dict`.

        Raises:
            MemUPError: anything else was given, such as a datamodule or the property of its class.
        """
        if isinstance(given, TaskSpec):
            return given
        if isinstance(given, Mapping):
            try:
                return cls.from_dict(given)
            except (KeyError, TypeError, AttributeError) as error:
                raise MemUPError(
                    f"task={given!r:.80} is no specification ({error}); give the result of to_dict()"
                ) from error
        found = f"a {type(given).__name__}"
        if isinstance(given, type) or hasattr(type(given), "__get__"):
            found = f"the class {given.__name__}" if isinstance(given, type) else "a property of a class"
        raise MemUPError(
            f"task is {found}, not a TaskSpec; give the task of a datamodule object: data = TMazeDataModule(), then "
            "MemUP(data.task)"
        )

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TaskSpec:
        """Make a specification from the result of :meth:`to_dict`."""
        fields = {name: FieldSpec(**spec) for name, spec in plain["fields"].items()}
        return cls(**{**plain, "fields": fields, "outcome": FieldSpec(**plain["outcome"])})


def is_picture(shape: Sequence[int]) -> bool:
    """Return whether three sizes are those of a picture: 1, 3 or 4 channels first or last, and 8 pixels a side at least."""
    channels, *sides = sorted(shape)
    return channels in _CHANNELS and channels in (shape[0], shape[-1]) and sides[0] >= _SMALLEST_SIDE
