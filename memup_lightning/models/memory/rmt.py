from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.models.memory.base import Memory, State


class RMT(Memory):
    """Recurrent memory Transformer (Bulatov et al., NeurIPS 2022, section 3).

    An episode is cut into segments. A segment is read between two copies of the memory tokens, ``[memory; steps;
    memory]``: steps attend to the first copy and to the steps before them; the output at the second copy, which attends
    to all, is the memory of the next segment. Segments are counted from the episode's first step, whatever the chunks:
    the state carries the inputs of the segment that is not complete yet.

    A segment's own steps do not attend to the memory that it writes. So writing is learned only from a later segment of
    the same chunk: give a chunk at least two segments.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: features of a token; m_t is the last layer's output at step t.
        num_layers: layers.
        num_heads: heads of attention; they share ``hidden_size``.
        memory_tokens: tokens carried from segment to segment.
        segment_length: steps of a segment.

    Raises:
        MemUPError: a size below 1, a ``hidden_size`` that is no multiple of ``num_heads``.
    """

    mask: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 2,
        num_heads: int = 4,
        memory_tokens: int = 4,
        segment_length: int = 5,
    ) -> None:
        super().__init__()
        check_counts(
            1,
            hidden_size=hidden_size,
            num_layers=num_layers,
            num_heads=num_heads,
            memory_tokens=memory_tokens,
            segment_length=segment_length,
        )
        if hidden_size % num_heads:
            raise MemUPError(
                f"RMT hidden_size={hidden_size} is no multiple of num_heads={num_heads}; the heads share it evenly"
            )
        self.input_size, self.output_size = input_size, hidden_size
        self.memory_tokens, self.segment_length = memory_tokens, segment_length
        self.embed = nn.Linear(input_size, hidden_size)
        self.first_memory = nn.Parameter(torch.randn(memory_tokens, hidden_size) * 0.02)
        places = 2 * memory_tokens + segment_length
        self.places = nn.Parameter(torch.randn(places, hidden_size) * 0.02)
        self.layers = nn.ModuleList(_Layer(hidden_size, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)
        mask = torch.ones(places, places, dtype=torch.bool).tril()
        mask[:memory_tokens, :memory_tokens] = True  # within each copy, tokens attend to each other
        mask[-memory_tokens:] = True
        self.register_buffer("mask", mask, persistent=False)

    def initial_state(self, lanes: int) -> State:
        memory = self.first_memory.expand(lanes, -1, -1)  # learned: an episode's first chunk carries its gradient
        steps = self.first_memory.new_zeros(lanes, self.segment_length, self.input_size)
        return memory, steps, torch.zeros(lanes, dtype=torch.int64, device=memory.device)

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, State]:
        memory, begun, count = state
        size, steps = self.segment_length, x.shape[1]
        segments = -(-(size - 1 + steps) // size)  # that a lane may touch, wherever it is in its segment
        place = count[:, None] + torch.arange(steps, device=x.device)  # of the chunk's steps, from the begun segment on
        rows = torch.cat([begun.to(x.dtype), x.new_zeros(x.shape[0], segments * size, self.input_size)], 1)
        rows = rows.scatter(1, place[..., None].expand(x.shape), x)
        end = count + steps
        out = []
        for number in range(segments):
            h, written = self._segment(rows[:, number * size : (number + 1) * size], memory)
            out.append(h)
            complete = end >= (number + 1) * size
            memory = torch.where(complete[:, None, None], written.to(memory.dtype), memory)
        m = torch.cat(out, 1).gather(1, place[..., None].expand(-1, -1, self.output_size))
        left = (end // size * size)[:, None] + torch.arange(size, device=x.device)
        begun = rows.gather(1, left[..., None].expand(-1, -1, self.input_size))
        return m, (memory, begun, end % size)

    def _segment(self, steps: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output of every step of a segment, and the memory after it.

        Only the memory tokens attend to steps that are not there yet, and only a complete segment replaces the memory.
        """
        h = self.embed(steps)
        h = torch.cat([memory.to(h.dtype), h, memory.to(h.dtype)], 1) + self.places
        for layer in self.layers:
            h = layer(h, self.mask)
        h = self.norm(h)
        return h[:, self.memory_tokens : -self.memory_tokens], h[:, -self.memory_tokens :]


class _Layer(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.forward_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.expand, self.contract = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        parts = self.query_key_value(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, mask)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        out: Tensor = x + self.contract(F.gelu(self.expand(self.forward_norm(x))))
        return out
