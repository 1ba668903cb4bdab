"""Real-time recurrent learning: truncated backpropagation that keeps the gradient of all that came before a chunk."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LRU, DiagonalMemory, State, reset
from memup_lightning.modules.baselines.tbptt import TBPTT
from memup_lightning.modules.networks.factories import MemoryCallable, PartOptions
from memup_lightning.specs import TaskSpec


class RTRL(TBPTT):
    """Memory trained by real-time recurrent learning (Williams & Zipser, Neural Computation 1989): :class:`TBPTT` whose
    gradient does not end where the chunk begins.

    Within a chunk, gradients are those of backpropagation. What came before enters by the sensitivities of the state,
    ``S = dh / dtheta``, which each lane carries from chunk to chunk: a chunk begins with ``h + S * (theta -
    theta.detach())``, which are the numbers of h with S as their derivatives, and ends with S advanced by its steps. At
    fixed weights the gradients of an episode's chunks add up to that of backpropagation through the whole episode, however
    long it is. Weights that are updated on the way leave in S derivatives at the weights of earlier chunks.

    In general S has a number for each pair of unit and weight, and every step multiplies it by a matrix. Where the
    recurrence is element-wise it has one for each weight (Zucchet et al., "Online learning of long-range dependencies",
    NeurIPS 2023; Irie, Gopalakrishnan & Schmidhuber, "Exploring the promise and limits of real-time recurrent learning",
    ICLR 2024). It is exact for the weights of the recurrence, and what is downstream of the state needs no more than the
    chunk. The encoder, upstream of it, gets its gradient from within the chunk alone, as in Zucchet et al.

    Only training carries sensitivities. They are part of the lanes' states in a checkpoint.

    Args:
        task: specification of the data; the command line takes it from the datamodule.
        memory: ``(input_size) -> memory core`` with an element-wise recurrence: a
            :class:`~memup_lightning.models.memory.diagonal.DiagonalMemory` of one layer.
        **parts: outcome, predictor, encoder, context_encoder, local, optimizer, lr_scheduler: see
            :class:`~memup_lightning.modules.memory_task.MemoryTask`.

    Raises:
        MemUPError: a core without an element-wise recurrence.
    """

    def __init__(
        self, task: TaskSpec | dict[str, Any], memory: MemoryCallable = LRU, **parts: Unpack[PartOptions]
    ) -> None:
        super().__init__(task, memory, **parts)
        if not isinstance(self.memory, DiagonalMemory):
            known = ", ".join(sorted(core.__name__ for core in DiagonalMemory.__subclasses__()))
            raise MemUPError(
                f"memory={type(self.memory).__name__}: RTRL carries the derivatives of the state, which takes a core with "
                f"an element-wise recurrence; give one of {known}, with one layer, or train by MemUP, TBPTT or BPTT"
            )
        self.memory.initial_sensitivities(1)  # raises where this core, with these arguments, has none

    def unroll(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        if not torch.is_grad_enabled():
            return super().unroll(chunk, state)
        core = self.memory
        initial = core.initial_state(chunk.lanes), core.initial_sensitivities(chunk.lanes)
        before, sensitivities = reset(initial if state is None else state, initial, chunk.is_first)
        x = self.encoder(chunk.inputs)
        memory, after = core(x, core.attach(before, sensitivities), chunk.is_first)
        return memory, (after, core.advance(x, before, sensitivities))
