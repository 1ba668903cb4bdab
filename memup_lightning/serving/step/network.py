"""StepNetwork: one step of a trained model, with all state explicit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from memup_lightning.chunk import Fields
from memup_lightning.models.certain_steps import PredictsOutcomes
from memup_lightning.models.memory import Memory, State
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.specs import FieldSpec


class StepNetwork(PredictsOutcomes, nn.Module):
    """Networks of a memory task for one step of several streams.

    A field of the local context is given as of this step. An input that the context does not hold (the reward) is given as
    the memory reads it: with a lag of 1, that of the step before.

    Args:
        model: the trained module.

    Attributes:
        depth: steps before this one that are kept of each field, for the local context or a lagged input.
    """

    def __init__(self, model: MemoryTask) -> None:
        super().__init__()
        self.encoder, self.context_encoder = model.encoder, model.context_encoder
        self.memory: Any = model.memory
        self.predictor, self.outcome = model.predictor, model.outcome
        self.certain, self.local = model.certain, model.local
        self.task = task = model.task
        self.depth = {name: depth for name in task.context if (depth := max(task.window - 1, task.inputs.get(name, 0)))}
        self.fields = {name: task.fields[name] for name in dict.fromkeys((*task.inputs, *task.context))}

    def initial_history(self, streams: int, device: torch.device | str = "cpu") -> Fields:
        """Return what comes before the first step of an episode."""
        return {
            name: torch.full(
                (streams, depth, *field.shape),
                field.fill,
                dtype=dtype_of(field),
                device=device,
            )
            for name, depth in self.depth.items()
            if (field := self.fields[name])
        }

    def forward(self, fields: Fields, state: State, history: Fields) -> tuple[Tensor, Tensor, State, Fields]:
        """Advance the memory by a step and predict its outcome.

        Args:
            fields: each ``[streams, ...]``.
            state: the memory's state.
            history: as :meth:`initial_history` or the step before returned it.

        Returns:
            Parameters of the outcome's distribution ``[streams, num_parameters]``, m ``[streams, output_size]``, the
            memory's state and the history after the step.
        """
        task = self.task
        past = {name: torch.cat([history[name], fields[name][:, None]], 1) for name in self.depth}
        inputs = {}
        for name, lag in task.inputs.items():
            lagged = lag and name in past
            inputs[name] = past[name][:, -1 - lag, None] if lagged else fields[name][:, None]
        x = self.encoder(inputs)
        if isinstance(self.memory, Memory):
            out, after = self.memory.scan(x, state)
        else:
            out, after = self.memory(x, state, torch.zeros(x.shape[0], dtype=torch.bool, device=x.device))
        m = out[:, 0]
        window = {
            name: past[name][:, -task.window :] if task.window > 1 else fields[name][:, None] for name in task.context
        }
        return self.predict_outcomes(window, m), m, after, {name: past[name][:, 1:] for name in self.depth}


def dtype_of(field: FieldSpec) -> torch.dtype:
    """Return the dtype in which the networks read a field."""
    dtype: torch.dtype = torch.float32 if field.dtype.startswith("float") else getattr(torch, field.dtype)
    return dtype
