from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory.base import Memory, State
from memup_lightning.models.memory.layers.torch_rnn import TorchRNN


class RNNAdapter(Memory):
    """Adapter of a bare recurrent module.

    The module is called like torch's, ``module(x, state) -> (output, state)``, with x ``[lanes, steps, features]``. A
    module that already has ``output_size``, ``initial_state(lanes)`` and ``forward(x, state, is_first)`` needs no
    adapter.

    Args:
        input_size: features of a step; the model fills it in.
        module: class of the module, such as ``torch.nn.RNN``; its first argument is the input size.
        module_args: its other arguments, by name. A ``torch.nn.RNNBase`` gets ``batch_first=True`` in addition.
        state_shapes: shape of each state tensor of one lane, for example ``[[64]]``; they begin at zero. Not needed for
            a ``torch.nn.RNNBase``.

    Raises:
        MemUPError: arguments that the module does not take; no ``state_shapes`` for a module that needs them.
    """

    def __init__(
        self,
        input_size: int,
        module: type[nn.Module],
        module_args: dict[str, Any] | None = None,
        state_shapes: list[list[int]] | None = None,
    ) -> None:
        super().__init__()
        name = getattr(module, "__name__", str(module))
        is_torch_rnn = inspect.isclass(module) and issubclass(module, nn.RNNBase)
        given = ({"batch_first": True} if is_torch_rnn else {}) | (module_args or {})
        try:
            made: Any = module(input_size, **given)
        except (TypeError, ValueError) as error:
            raise MemUPError(
                f"RNNAdapter: {name}({input_size}, {', '.join(f'{k}={v!r}' for k, v in given.items())}) failed: {error}; "
                "give its arguments, all but the input size, in module_args"
            ) from error
        self.state_shapes = [tuple(shape) for shape in state_shapes or []]
        self.module: Any = TorchRNN(made) if is_torch_rnn else made
        self.is_torch_rnn = is_torch_rnn
        if not (is_torch_rnn or self.state_shapes):
            raise MemUPError(
                f"RNNAdapter does not know the state of {name}; give state_shapes, the shape of each state tensor of one "
                "lane, for example [[64]]"
            )
        with torch.no_grad():
            out, _ = self.scan(torch.zeros(1, 1, input_size), self.initial_state(1))
        self.output_size = out.shape[-1]

    def initial_state(self, lanes: int) -> State:
        if self.is_torch_rnn:
            state: State = self.module.initial_state(lanes)
            return state
        reference: Tensor = next(self.module.parameters(), torch.zeros(()))
        states = tuple(reference.new_zeros(lanes, *shape) for shape in self.state_shapes)
        return states[0] if len(states) == 1 else states

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        run: Any = self.module.scan if self.is_torch_rnn else self.module
        out, after = run(x, state)
        return out, after
