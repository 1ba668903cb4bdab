from __future__ import annotations

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import check_at_least
from memup_lightning.models.memory.base import Memory, State, accumulation_dtype


class SRNN(Memory):
    """Shuffling recurrent network (Rotman & Wolf, "Shuffling recurrent neural networks", AAAI 2021, equations 1-3).

    ``h_t = relu(P h_{t-1} + b(x_t))``, where P moves every unit on by one place and ``b(x) = f(x) * sigmoid(W x)`` with f
    a perceptron. Nothing else acts on the state, so gradients neither vanish nor explode.

    In a frame that moves with the units, P is gone and what is left is a sum that is cut at zero. Its closed form,
    ``S_t - min(-h_0, min_{s <= t} S_s)`` with S the running sum of b, takes the place of a loop over the steps. The sums
    differ from the loop's by the rounding of the largest S of a chunk. They and the state are float32, or float64 for
    parameters of that dtype.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units; m_t is h_t.
        mlp_size: units of the hidden layer of f.
        gate_bias: bias of the fresh gate. Nothing is forgotten but what is cut at zero, so with an open
            gate noise dominates the state; one that begins almost shut (``sigmoid(-6) = 0.0025``) learns to open for cues.
    """

    def __init__(self, input_size: int, hidden_size: int = 64, mlp_size: int = 64, gate_bias: float = -6.0) -> None:
        super().__init__()
        check_at_least(1, hidden_size=hidden_size, mlp_size=mlp_size)
        self.output_size = hidden_size
        self.mlp = nn.Sequential(nn.Linear(input_size, mlp_size), nn.ReLU(), nn.Linear(mlp_size, hidden_size))
        self.gate = nn.Linear(input_size, hidden_size)
        nn.init.constant_(self.gate.bias, gate_bias)

    def initial_state(self, lanes: int) -> State:
        weight = self.gate.weight
        return weight.new_zeros(lanes, self.output_size, dtype=accumulation_dtype(weight.dtype))

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, State]:
        b = (self.mlp(x) * self.gate(x).sigmoid()).to(state.dtype)
        total = self._turned(b, 1).cumsum(1)
        least = total if x.shape[1] == 1 else total.cummin(1).values  # ONNX has no cummin
        lowest = torch.minimum(least, -state[:, None])
        h = self._turned(total - lowest, -1)
        return h.to(x.dtype), h[:, -1]

    def _turned(self, x: Tensor, direction: int) -> Tensor:
        """Step t (from 1) of the chunk, its units moved by t places: into the moving frame (1) or out of it (-1)."""
        step = torch.arange(1, x.shape[1] + 1, device=x.device)
        unit = torch.arange(self.output_size, device=x.device)
        place = (unit + direction * step[:, None]) % self.output_size
        return x.gather(2, place.expand(x.shape))
