from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.models.memory.base import Memory, State

_QUERIES = 32
"""Steps whose attention is computed at once: the memory for scores is proportional to it, not that for keys."""


class GTrXL(Memory):
    """Gated Transformer-XL (Parisotto et al., "Stabilizing Transformers for reinforcement learning", ICML 2020).

    In every layer a step attends to itself and to the ``window`` steps before it, by content and by distance
    (Transformer-XL, Dai et al., ACL 2019, section 3.3). The state holds each layer's inputs at those steps, so that
    gradients reach as far back as the chunk. Residual paths are gated by a GRU whose bias lets the layer begin as the
    identity (section 3.2, equation 5), and normalised before the sublayer (section 3.1).

    So m_t depends on the last ``num_layers * window`` steps and on nothing before them.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: features of a layer; m_t is the last layer's output.
        num_layers: layers.
        num_heads: heads of attention; they share ``hidden_size``.
        window: M, steps before its own that a step attends to.
        gate_bias: b_g of the gates; the larger, the closer a fresh layer is to the identity.

    Raises:
        MemUPError: a size below 1, a ``hidden_size`` that is not an even multiple of ``num_heads``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 2,
        num_heads: int = 4,
        window: int = 64,
        gate_bias: float = 2.0,
    ) -> None:
        super().__init__()
        check_counts(1, hidden_size=hidden_size, num_layers=num_layers, num_heads=num_heads, window=window)
        if hidden_size % (2 * num_heads):
            raise MemUPError(
                f"GTrXL hidden_size={hidden_size}, num_heads={num_heads}: give a hidden_size that is a multiple of "
                f"2 x num_heads = {2 * num_heads}"
            )
        self.output_size, self.window = hidden_size, window
        self.embed = nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(_Layer(hidden_size, num_heads, window, gate_bias) for _ in range(num_layers))

    def initial_state(self, lanes: int) -> State:
        inputs = self.embed.weight.new_zeros(lanes, len(self.layers), self.window, self.output_size)
        return inputs, torch.zeros(lanes, dtype=torch.int64, device=inputs.device)

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, State]:
        inputs, seen = state
        h = self.embed(x)
        kept = []
        for layer, before in zip(self.layers, inputs.unbind(1), strict=True):
            joined = torch.cat([before.to(h.dtype), h], 1)
            kept.append(joined[:, -self.window :])
            h = layer(joined, seen)
        return h, (torch.stack(kept, 1), (seen + x.shape[1]).clamp(max=self.window))


class _Layer(nn.Module):
    def __init__(self, size: int, heads: int, window: int, gate_bias: float) -> None:
        super().__init__()
        self.attention = _BandedAttention(size, heads, window)
        self.attention_norm, self.forward_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention_gate, self.forward_gate = _Gate(size, gate_bias), _Gate(size, gate_bias)
        self.expand, self.contract = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, joined: Tensor, seen: Tensor) -> Tensor:
        attended = self.attention(self.attention_norm(joined), seen)
        x = self.attention_gate(joined[:, -attended.shape[1] :], attended.relu())
        y = self.contract(self.expand(self.forward_norm(x)).relu())
        out: Tensor = self.forward_gate(x, y.relu())
        return out


class _Gate(nn.Module):
    """Gated recurrent unit in place of a residual sum (equation 5)."""

    def __init__(self, size: int, bias: float) -> None:
        super().__init__()
        self.of_y = nn.Linear(size, 3 * size, bias=False)
        self.of_x = nn.Linear(size, 2 * size, bias=False)
        self.candidate = nn.Linear(size, size, bias=False)
        self.bias = nn.Parameter(torch.full((size,), float(bias)))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        y_reset, y_update, y_candidate = self.of_y(y).chunk(3, dim=-1)
        x_reset, x_update = self.of_x(x).chunk(2, dim=-1)
        reset = (y_reset + x_reset).sigmoid()
        update = (y_update + x_update - self.bias).sigmoid()
        candidate = (y_candidate + self.candidate(reset * x)).tanh()
        out: Tensor = x + update * (candidate - x)
        return out


class _BandedAttention(nn.Module):
    """Attention of the last steps of a sequence, each over itself and the ``window`` steps before it.

    Scores are ``(q + u) k + (q + v) R`` with R a linear layer on the sinusoids of the distance, u and v learned.
    """

    distances: Tensor

    def __init__(self, size: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.query, self.key_value = nn.Linear(size, size, bias=False), nn.Linear(size, 2 * size, bias=False)
        self.distance, self.out = nn.Linear(size, size, bias=False), nn.Linear(size, size, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, 1, size // heads))
        self.distance_bias = nn.Parameter(torch.zeros(heads, 1, size // heads))
        self.register_buffer("distances", _sinusoids(window + 1, size), persistent=False)

    def forward(self, joined: Tensor, seen: Tensor) -> Tensor:
        steps = joined.shape[1] - self.window
        q = self._heads(self.query(joined[:, self.window :]))
        key, value = (self._heads(part) for part in self.key_value(joined).chunk(2, dim=-1))
        r = self.distance(self.distances).unflatten(-1, (self.heads, -1)).permute(1, 2, 0)
        unseen = self.window - seen  # places before the episode's first step, counted from the left
        out = []
        for start in range(0, steps, _QUERIES):
            part = q[:, :, start : start + _QUERIES]
            count = part.shape[2]
            reach = slice(start, start + self.window + count)
            place = torch.arange(self.window + count, device=q.device)
            distance = torch.arange(count, device=q.device)[:, None] + self.window - place
            near = (distance >= 0) & (distance <= self.window)
            real = place + start >= unseen[:, None]
            by_distance = (part + self.distance_bias) @ r / math.sqrt(q.shape[-1])
            index = distance.clamp(0, self.window).expand(*part.shape[:2], -1, -1)
            bias = by_distance.gather(3, index).masked_fill(~(near & real[:, None, None]), -torch.inf)
            content = part + self.content_bias
            out.append(F.scaled_dot_product_attention(content, key[:, :, reach], value[:, :, reach], bias))
        attended: Tensor = self.out(torch.cat(out, 2).transpose(1, 2).flatten(2))
        return attended

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _sinusoids(count: int, size: int) -> Tensor:
    rate = torch.exp(torch.arange(0, size, 2) * (-math.log(10_000) / size))
    angle = torch.arange(count)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], -1)
