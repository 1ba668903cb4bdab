from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.models.memory.base import Memory, State, accumulation_dtype

_BLOCK = 64
"""Steps that are computed at once: the work of a step grows with it, the number of kernels falls."""


class XLSTM(Memory):
    """Extended LSTM with matrix memory: xLSTM[1:0] (Beck et al., NeurIPS 2024), in the blocks of xLSTM 7B (2025).

    Each head keeps a matrix ``C_t = f_t C_{t-1} + i_t v_t k_t^T`` and reads it by ``C_t q_t / max(|n_t q_t|, 1)`` (section
    2.3, equations 19-27), with exponential input gates kept in range by m_t (equation 15). No gate sees the state, so that
    64 steps are a few matrix products. The state is float32, or float64 for parameters of that
    dtype.

    The ``xlstm`` package is not used: its PyTorch-only cells take no state together with more than one step, and the
    licence of the kernels of its larger model requires more of users than this project's does.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: features of a block; m_t is the last block's output.
        num_layers: blocks, each an mLSTM and a gated feed-forward layer.
        num_heads: heads; they share ``hidden_size``, half of it for queries and keys.

    Raises:
        MemUPError: a size below 1, a ``hidden_size`` that is not an even multiple of ``num_heads``.
    """

    def __init__(self, input_size: int, hidden_size: int = 64, num_layers: int = 1, num_heads: int = 4) -> None:
        super().__init__()
        check_counts(1, hidden_size=hidden_size, num_layers=num_layers, num_heads=num_heads)
        if hidden_size % (2 * num_heads):
            raise MemUPError(
                f"XLSTM hidden_size={hidden_size}, num_heads={num_heads}: give a hidden_size that is a multiple of "
                f"2 x num_heads = {2 * num_heads}"
            )
        self.output_size, self.heads = hidden_size, num_heads
        self.embed = nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(_Block(hidden_size, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)

    def initial_state(self, lanes: int) -> State:
        value, weight = self.output_size // self.heads, self.embed.weight
        shapes = (value // 2, value), (value // 2,), ()  # C, n, m of a head
        lead, dtype = (lanes, len(self.layers), self.heads), accumulation_dtype(weight.dtype)
        return tuple(weight.new_zeros(*lead, *shape, dtype=dtype) for shape in shapes)

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, State]:
        h = self.embed(x)
        after = []
        for number, layer in enumerate(self.layers):
            h, end = layer(h, tuple(part[:, number] for part in state))
            after.append(end)
        return self.norm(h), tuple(torch.stack(parts, 1) for parts in zip(*after, strict=True))


_Cell = tuple[Tensor, Tensor, Tensor]


class _Block(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.cell_norm, self.forward_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key, self.value_out = nn.Linear(size, size, bias=False), nn.Linear(size, 2 * size, bias=False)
        self.gates = nn.Linear(size, 2 * heads)
        self.head_norm = nn.GroupNorm(heads, size)
        self.out = nn.Linear(size, size, bias=False)
        self.expand, self.contract = nn.Linear(size, 4 * size, bias=False), nn.Linear(2 * size, size, bias=False)
        with torch.no_grad():
            self.gates.bias[heads:] = torch.linspace(3, 6, heads)  # forget gates begin open, as in the paper's code

    def forward(self, x: Tensor, state: _Cell) -> tuple[Tensor, _Cell]:
        y = self.cell_norm(x)
        dtype = state[0].dtype
        query, key = (self._heads(part).to(dtype) for part in self.query_key(y).chunk(2, dim=-1))
        value, out_gate = self.value_out(y).chunk(2, dim=-1)
        into, forget = self.gates(y).to(dtype).transpose(1, 2).chunk(2, dim=1)
        parts = query, key * key.shape[-1] ** -0.5, self._heads(value).to(dtype), into, F.logsigmoid(forget)
        read = []
        for block in zip(*(part.split(_BLOCK, dim=2) for part in parts), strict=True):
            h, state = _matrix_memory(state, *block)
            read.append(h)
        h = torch.cat(read, 2).transpose(1, 2).flatten(2)
        h = self.head_norm(h.flatten(0, 1).to(self.head_norm.weight.dtype)).view_as(h)
        x = x + self.out(out_gate.sigmoid() * h)
        gate, up = self.expand(self.forward_norm(x)).chunk(2, dim=-1)
        return x + self.contract(F.silu(gate) * up), state

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _matrix_memory(
    state: _Cell, query: Tensor, key: Tensor, value: Tensor, into: Tensor, forget: Tensor
) -> tuple[Tensor, _Cell]:
    """Compute the mLSTM cell for a block of steps at once.

    Args:
        state: before the block, ``[lanes, heads, key_size, value_size]``, ``[lanes, heads, key_size]`` and
            ``[lanes, heads]``.
        query, key: ``[lanes, heads, steps, key_size]``.
        value: ``[lanes, heads, steps, value_size]``.
        into, forget: logarithms of the input and forget gates, ``[lanes, heads, steps]``.

    Returns:
        What is read at every step, ``[lanes, heads, steps, value_size]``, and the state after.
    """
    c, n, m = state
    with torch.autocast(query.device.type, enabled=False):
        kept = forget.cumsum(-1)  # how much of the state before is left at a step
        later = torch.ones(query.shape[2], query.shape[2], dtype=torch.bool, device=query.device).triu(1)
        weight = (kept[..., :, None] - kept[..., None, :] + into[..., None, :]).masked_fill(later, -torch.inf)
        level = torch.maximum(weight.amax(-1), kept + m[..., None])
        carried = (kept + m[..., None] - level).exp()[..., None]
        scores = query @ key.transpose(-1, -2) * (weight - level[..., None]).exp()
        total = scores @ value + carried * (query @ c)
        norm = scores.sum(-1, keepdim=True) + carried * (query @ n[..., None])
        read = total / torch.maximum(norm.abs(), (-level).exp()[..., None])
        end = level[..., -1]
        left = carried[..., -1, :, None]
        weighted = key * (weight[..., -1, :] - end[..., None]).exp()[..., None]
        after = left * c + weighted.transpose(-1, -2) @ value, left[..., 0] * n + weighted.sum(2), end
    return read, after
