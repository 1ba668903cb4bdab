from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.models.memory.base import Memory, State, accumulation_dtype
from memup_lightning.models.memory.layers.torch_rnn import TorchRNN

Aggregator = Literal["max", "avg"]


class AMRL(Memory):
    """LSTM with an aggregator that ignores the order of steps (AMRL-Max, AMRL-Avg).

    The second half of the LSTM's units is aggregated over all steps of the episode so far, by maximum or mean; the
    first half is unchanged. Gradients pass the aggregator as if it were the sum of the chunk's steps
    (straight-through), so none is lost or divided by the number of steps. Source: Beck et al., "AMRL: Aggregated memory
    for reinforcement learning", ICLR 2020, section 4.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units of the LSTM, an even number; m_t is a linear layer of as many units on both halves.
        aggregator: ``max`` or ``avg``.

    Raises:
        MemUPError: an odd or too small ``hidden_size``, an unknown aggregator.
    """

    def __init__(self, input_size: int, hidden_size: int = 64, aggregator: Aggregator = "max") -> None:
        super().__init__()
        check_counts(1, hidden_size=hidden_size)
        if hidden_size % 2:
            raise MemUPError(f"AMRL hidden_size={hidden_size}: half of the units is aggregated; give an even number")
        if aggregator not in get_args(Aggregator):
            raise MemUPError(f"AMRL aggregator={aggregator!r}: must be max or avg")
        self.aggregator = aggregator
        self.lstm = TorchRNN(nn.LSTM(input_size, hidden_size, batch_first=True))
        self.out = nn.Linear(hidden_size, hidden_size)
        self.output_size = hidden_size

    def initial_state(self, lanes: int) -> State:
        weight, half = self.out.weight, self.output_size // 2
        lowest = -1.0 if self.aggregator == "max" else 0.0  # of a unit of an LSTM; the sum of no step
        aggregate = weight.new_full((lanes, half), lowest, dtype=accumulation_dtype(weight.dtype))
        return self.lstm.initial_state(lanes), aggregate, weight.new_zeros(lanes, dtype=torch.int64)

    def scan(self, x: Tensor, state: tuple[State, Tensor, Tensor]) -> tuple[Tensor, State]:
        lstm, before, seen = state
        h, lstm = self.lstm.scan(x, lstm)
        own, shared = h.chunk(2, dim=-1)
        shared = shared.to(before.dtype)
        total = shared.cumsum(1)
        if self.aggregator == "max":
            highest = shared.detach() if x.shape[1] == 1 else shared.detach().cummax(1).values  # ONNX has no cummax
            running = torch.maximum(highest, before[:, None])
            exact = running
        else:
            count = seen[:, None] + torch.arange(1, x.shape[1] + 1, device=x.device)
            running = total.detach() + before[:, None]
            exact = running / count[..., None]
        passed = before[:, None] + total  # the straight-through gradient: every step of the chunk counts fully
        aggregate = exact.detach() + (passed - passed.detach())
        out: Tensor = self.out(torch.cat([own, aggregate.to(own.dtype)], -1))
        carried = running[:, -1].detach() + (passed - passed.detach())[:, -1]
        return out, (lstm, carried, seen + x.shape[1])
