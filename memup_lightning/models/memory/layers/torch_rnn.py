"""Recurrent modules of torch.nn (LSTM, GRU, RNN) as memory cores."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory.base import Memory, State, map_state
from memup_lightning.user_warnings import warn_user


class TorchRNN(Memory):
    """Memory core from a ``torch.nn.RNNBase`` (LSTM, GRU, RNN), with a state of ``[lanes, layers, hidden]`` tensors.

    Args:
        rnn: the module, with ``batch_first=True``, in one direction and without projection.

    Raises:
        MemUPError: a module with other settings.
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
        self.bound = 1.0 if rnn.mode in ("LSTM", "GRU", "RNN_TANH") else math.inf
        self.has_cell = isinstance(rnn, nn.LSTM)
        self._has_cell_kernel = isinstance(rnn, nn.LSTM | nn.GRU) and rnn.num_layers == 1 and rnn.bias

    def initial_state(self, lanes: int) -> State:
        weight: Tensor = next(self.rnn.parameters())
        zero = weight.new_zeros(lanes, self.rnn.num_layers, self.rnn.hidden_size)
        return (zero, zero) if self.has_cell else zero

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if x.device.type != "cpu":
            return self._sequence(x, state)
        if torch.is_autocast_enabled("cpu"):
            if not self.has_cell or _lstm_supports(torch.get_autocast_dtype("cpu")):
                return self._sequence(x, state)
            with torch.autocast("cpu", enabled=False):
                return self._sequence(x.to(next(self.rnn.parameters()).dtype), state)
        if x.shape[1] == 1 and self._has_cell_kernel:
            return self._step(x, state)
        return self._sequence(x, state)

    def _sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        out, after = self.rnn(x, map_state(lambda part: part.transpose(0, 1).contiguous(), state))
        return out, map_state(lambda part: part.transpose(0, 1), after)

    def _step(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        """Compute a chunk of one step without the fixed cost of the kernel for sequences: half the time on a CPU."""
        weights = [getattr(self.rnn, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]
        if not self.has_cell:
            hidden = torch.gru_cell(x[:, 0], state[:, 0], *weights).unsqueeze(1)
            return hidden, hidden
        before = [part[:, 0] for part in state]
        hidden, cell = (part.unsqueeze(1) for part in torch.lstm_cell(x[:, 0], before, *weights))
        return hidden, (hidden, cell)


@cache
def _lstm_supports(dtype: torch.dtype) -> bool:
    """Return whether oneDNN's LSTM, which autocast calls, runs with this dtype on this CPU; warn where it does not."""
    zero = torch.zeros
    weights = [zero(4, 1), zero(4, 1), zero(4), zero(4)]
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype):
            torch.lstm(zero(1, 1, 1), [zero(1, 1, 1)] * 2, weights, True, 1, 0.0, True, False, True)
    except RuntimeError:
        warn_user(
            f"this CPU has no {str(dtype).removeprefix('torch.')} kernel for the LSTM (oneDNN needs AVX-512): it runs in "
            "float32, which is slower and takes more memory than mixed precision does elsewhere"
        )
        return False
    return True


def chrono_time_constants(chrono: int, hidden_size: int) -> Tensor:
    """Draw the logarithms of the time constants of chrono initialisation, ``log U{1, ..., chrono - 1}``, one for each unit.

    Source: Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018, section 3.

    Raises:
        MemUPError: a longest dependency below 3 steps.
    """
    if chrono < 3:
        raise MemUPError(f"chrono={chrono}: give the longest dependency in steps (at least 3), or 0 to leave it out")
    return torch.empty(hidden_size).uniform_(1, chrono - 1).log()
