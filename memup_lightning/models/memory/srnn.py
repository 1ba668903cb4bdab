from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from memup_lightning.exceptions import check_counts
from memup_lightning.models.memory.base import Memory, State, accumulation_dtype


class SRNN(Memory):
    """Shuffling recurrent network (Rotman & Wolf, "Shuffling recurrent neural networks", AAAI 2021, equations 1-3).

    ``h_t = relu(P h_{t-1} + b(x_t))``, where P moves every unit on by one place and ``b(x) = f(x) * sigmoid(W x)`` with f
    a perceptron. Nothing else acts on the state, so gradients neither vanish nor explode.

    A unit that is cut at zero forgets all that came before, and no gradient says so. Without ``cut``, ``h_t = P h_{t-1} +
    b(x_t)`` loses nothing: where every step counts, as in permuted pixels, it learns faster.

    In a frame that moves with the units, P is gone and what is left is a sum, cut at zero or not. On an accelerator its
    closed form, ``S_t - min(-h_0, min_{s <= t} S_s)`` with S the running sum of b, takes the place of a loop over the
    steps, from whose sums it differs by the rounding of the largest S of a chunk. A processor runs the loop, with a
    gradient of its own: that is several times as fast there. Sums and state are float32, or float64 for parameters of that
    dtype.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units; m_t is h_t.
        mlp_size: units of the hidden layer of f.
        gate_bias: bias of the fresh gate. Nothing is forgotten but what is cut at zero, so with an open
            gate noise dominates the state; one that begins almost shut (``sigmoid(-6) = 0.0025``) learns to open for cues.
        cut: whether units are cut at zero, as in the paper.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        mlp_size: int = 64,
        gate_bias: float = -6.0,
        cut: bool = True,
    ) -> None:
        super().__init__()
        check_counts(1, hidden_size=hidden_size, mlp_size=mlp_size)
        self.output_size = hidden_size
        self.cut = cut
        self.mlp = nn.Sequential(nn.Linear(input_size, mlp_size), nn.ReLU(), nn.Linear(mlp_size, hidden_size))
        self.gate = nn.Linear(input_size, hidden_size)
        nn.init.constant_(self.gate.bias, gate_bias)

    def initial_state(self, lanes: int) -> State:
        weight = self.gate.weight
        return weight.new_zeros(lanes, self.output_size, dtype=accumulation_dtype(weight.dtype))

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, State]:
        b = (self.mlp(x) * self.gate(x).sigmoid()).to(state.dtype)
        if _loops(b):
            h: Tensor = _Loop.apply(b, state, self.cut)  # type: ignore[no-untyped-call]
            return h.to(x.dtype), h[:, -1]
        total = self._turned(b, 1).cumsum(1)
        lowest = -state[:, None]
        if self.cut:
            least = total if x.shape[1] == 1 else total.cummin(1).values  # ONNX has no cummin
            lowest = torch.minimum(least, lowest)
        h = self._turned(total - lowest, -1)
        return h.to(x.dtype), h[:, -1]

    def _turned(self, x: Tensor, direction: int) -> Tensor:
        """Step t (from 1) of the chunk, its units moved by t places: into the moving frame (1) or out of it (-1)."""
        step = torch.arange(1, x.shape[1] + 1, device=x.device)
        unit = torch.arange(self.output_size, device=x.device)
        place = (unit + direction * step[:, None]) % self.output_size
        return x.gather(2, place.expand(x.shape))


def _loops(b: Tensor) -> bool:
    """Whether the loop is run: on a processor, and not in a graph, which would hold every step of it."""
    return b.device.type == "cpu" and not (torch.compiler.is_compiling() or torch._C._is_tracing())


class _Loop(torch.autograd.Function):
    """``h_t = relu(P h_{t-1} + b_t)``, or without relu, for b ``[lanes, steps, units]`` and h_0 ``[lanes, units]``."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, state: Tensor, cut: bool) -> Tensor:
        out = torch.empty_like(b)
        before = state
        for b_t, h in zip(b.unbind(1), out.unbind(1), strict=True):
            torch.add(before[:, :-1], b_t[:, 1:], out=h[:, 1:])
            torch.add(before[:, -1:], b_t[:, :1], out=h[:, :1])
            before = h.relu_() if cut else h
        ctx.cut = cut
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (out,) = ctx.saved_tensors
        into = torch.zeros_like(out)
        later = torch.zeros_like(into[:, 0])
        for h, own, g in reversed(list(zip(out.unbind(1), gradient.unbind(1), into.unbind(1), strict=True))):
            torch.add(own[:, :-1], later[:, 1:], out=g[:, :-1])
            torch.add(own[:, -1:], later[:, :1], out=g[:, -1:])
            later = g.mul_(h > 0) if ctx.cut else g
        return into, later.roll(-1, 1), None
