from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory.base import Memory, State
from memup_lightning.models.memory.layers.torch_rnn import TorchRNN


class RNNAdapter(Memory):
    """Adapter for a bare recurrent module of your own.

    The module is called as torch's are, ``module(x, state) -> (output, state)``, with x ``[lanes, steps, features]``.
    It needs no wrapper where it already has ``output_size``, ``initial_state(lanes)`` and ``forward(x, state, is_first)``.

    Args:
        input_size: features of a step; the model fills it in.
        module: makes the module from the input size, for example a class whose first argument is the input size. A
            ``torch.nn.RNNBase`` such as ``torch.nn.GRU`` keeps its state with the layers first; the adapter sees to it.
        state_shapes: shape of each state tensor of one lane, for example ``[[64]]``; they begin at zero. Not needed for
            a ``torch.nn.RNNBase``.

    Raises:
        MemUPError: no ``state_shapes`` for a module whose state cannot be known.
    """

    def __init__(
        self,
        input_size: int,
        module: Callable[[int], nn.Module],
        state_shapes: list[list[int]] | None = None,
    ) -> None:
        super().__init__()
        self.module = module(input_size)
        self.state_shapes = [tuple(shape) for shape in state_shapes or []]
        if isinstance(self.module, nn.RNNBase):
            self.module = TorchRNN(self.module)
        elif not self.state_shapes:
            raise MemUPError(
                f"RNNAdapter does not know the state of {type(self.module).__name__}; give state_shapes, "
                "the shape of each state tensor of one lane, for example [[64]]"
            )
        with torch.no_grad():
            out, _ = self.scan(torch.zeros(1, 1, input_size), self.initial_state(1))
        self.output_size = out.shape[-1]

    def initial_state(self, lanes: int) -> State:
        if isinstance(self.module, TorchRNN):
            return self.module.initial_state(lanes)
        reference: Any = next(self.module.parameters(), torch.zeros(()))
        states = tuple(reference.new_zeros(lanes, *shape) for shape in self.state_shapes)
        return states[0] if len(states) == 1 else states

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if isinstance(self.module, TorchRNN):
            return self.module.scan(x, state)
        out, after = self.module(x, state)
        return out, after
