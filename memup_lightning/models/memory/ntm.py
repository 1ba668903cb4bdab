from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memup_lightning.exceptions import check_counts
from memup_lightning.models.memory.base import Memory, State
from memup_lightning.models.memory.layers.controller import Controller, by_content


class NTM(Memory):
    """Neural Turing machine (Graves et al., 2014, section 3) with an LSTM controller.

    Heads are positioned in a matrix of slots by content (equations 5-6), interpolation with their previous position
    (7), a shift by at most one slot (8) and sharpening (9); one head erases and adds (3-4), then the others read (2).
    All heads are positioned at once, by the matrix of the previous step. An episode begins with a matrix of 1e-6
    throughout (Collier & Beel, ICANN 2018) and all heads on its first slot.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units of the controller.
        slots: rows of the matrix.
        width: numbers in a slot.
        read_heads: heads that read; m_t is the concatenation of the controller's output and what they read.
    """

    def __init__(
        self, input_size: int, hidden_size: int = 64, slots: int = 16, width: int = 16, read_heads: int = 1
    ) -> None:
        super().__init__()
        check_counts(1, hidden_size=hidden_size, slots=slots, width=width, read_heads=read_heads)
        self.slots, self.width, self.heads = slots, width, read_heads + 1
        self.output_size = hidden_size + read_heads * width
        self.controller = Controller(input_size, read_heads * width, hidden_size)
        self.address = nn.Linear(hidden_size, self.heads * (width + 6))  # key, strength, gate, 3 shifts, sharpening
        self.change = nn.Linear(hidden_size, 2 * width)  # erase, add

    def initial_state(self, lanes: int) -> State:
        zero = self.change.weight.new_zeros(lanes, self.controller.hidden_size)
        memory = zero.new_full((lanes, self.slots, self.width), 1e-6)
        place = zero.new_zeros(lanes, self.heads, self.slots)
        place[..., 0] = 1
        return zero, zero, zero.new_zeros(lanes, (self.heads - 1) * self.width), memory, place

    def scan(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, State]:
        hidden, cell, read, memory, place = state
        out = []
        for inward in self.controller.inward(x).unbind(1):
            hidden, cell = self.controller(inward, read, hidden, cell)
            place = self._move(self.address(hidden), memory, place)
            erase, add = self.change(hidden).chunk(2, dim=-1)
            written = place[:, -1, :, None]
            memory = memory * (1 - written * erase.sigmoid()[:, None]) + written * add[:, None]
            read = (place[:, :-1] @ memory).flatten(1)
            out.append(torch.cat([hidden, read], -1))
        return torch.stack(out, 1), (hidden, cell, read, memory, place)

    def _move(self, address: Tensor, memory: Tensor, before: Tensor) -> Tensor:
        """Compute the next positions of the heads, ``[lanes, heads, slots]``."""
        parts = torch.split(address.unflatten(-1, (self.heads, -1)), [self.width, 1, 1, 3, 1], dim=-1)
        key, strength, gate, shift, sharpen = parts
        place = before + gate.sigmoid() * (by_content(memory, key, F.softplus(strength)) - before)
        shift = shift.softmax(-1)
        place = shift[..., :1] * place.roll(1, -1) + shift[..., 1:2] * place + shift[..., 2:] * place.roll(-1, -1)
        place = (place + 1e-6) ** (1 + F.softplus(sharpen))
        moved: Tensor = place / place.sum(-1, keepdim=True)
        return moved
