"""What LSTM and GRU share: torch's own kernels behind the interface of a memory core."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memup_lightning.errors import MemUPError
from memup_lightning.memory.base import Memory, State


class TorchRNN(Memory):
    """A ``torch.nn.RNNBase`` (LSTM, GRU, RNN) as a memory core. Its state is ``[lanes, layers, hidden]`` tensors.

    Args:
        rnn: the module, with ``batch_first=True``, in one direction and without projection.
    """

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        if not rnn.batch_first or rnn.bidirectional or rnn.proj_size:
            raise MemUPError(
                f"{type(rnn).__name__}(batch_first={rnn.batch_first}, bidirectional={rnn.bidirectional}, "
                f"proj_size={rnn.proj_size}) cannot be a memory; it needs batch_first=True, one direction, proj_size=0"
            )
        self.rnn = rnn
        self.output_size = rnn.hidden_size
        self.has_cell = isinstance(rnn, nn.LSTM)

    def initial_state(self, lanes: int) -> State:
        weight = self.rnn.weight_hh_l0
        assert isinstance(weight, Tensor)
        zero = weight.new_zeros(lanes, self.rnn.num_layers, self.rnn.hidden_size)
        return (zero, zero) if self.has_cell else zero

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if isinstance(state, Tensor):
            out, hidden = self.rnn(x, state.transpose(0, 1).contiguous())
            return out, hidden.transpose(0, 1)
        out, after = self.rnn(x, tuple(part.transpose(0, 1).contiguous() for part in state))  # type: ignore[union-attr]
        return out, tuple(part.transpose(0, 1) for part in after)


def check_hidden_size(hidden_size: int, num_layers: int) -> None:
    if hidden_size < 1 or num_layers < 1:
        raise MemUPError(f"hidden_size={hidden_size}, num_layers={num_layers}: both must be at least 1")


def chrono_time_constants(chrono: int, hidden_size: int) -> Tensor:
    """Log of the time constants of chrono initialisation, ``log U{1, ..., chrono - 1}``, one for each unit.

    Source: Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018, section 3.
    """
    if chrono < 3:
        raise MemUPError(f"chrono={chrono}: give the longest dependency in steps (at least 3), or 0 to leave it out")
    return torch.empty(hidden_size).uniform_(1, chrono - 1).log()
