from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memup_lightning.exceptions import check_counts
from memup_lightning.models.memory.base import Memory, State
from memup_lightning.models.memory.layers.controller import Controller, by_content


class DNC(Memory):
    """Differentiable neural computer (Graves et al., Nature 2016, methods) with an LSTM controller.

    In addition to lookup by content it tracks the usage of each slot, to write into free ones ("dynamic memory
    allocation"), and the order in which slots were written, to read the next or the previous one ("temporal memory
    linkage"). The links take ``slots * slots`` numbers a lane. Writing erases and adds as in the paper. The paper's
    output layer is left out, since the predictor has layers of its own: controller output and read vectors are only
    concatenated.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units of the controller.
        slots: rows of the memory matrix.
        width: numbers in a slot.
        read_heads: heads that read; m_t is the concatenation of the controller's output and what they read.
    """

    def __init__(
        self, input_size: int, hidden_size: int = 64, slots: int = 16, width: int = 16, read_heads: int = 1
    ) -> None:
        super().__init__()
        check_counts(1, hidden_size=hidden_size, slots=slots, width=width, read_heads=read_heads)
        self.slots, self.width, self.reads = slots, width, read_heads
        self.output_size = hidden_size + read_heads * width
        self.controller = Controller(input_size, read_heads * width, hidden_size)
        # Keys and strengths of all heads; erase, add; allocation and write gate; of each reader its free gate and 3 modes.
        self.sizes = [(read_heads + 1) * width, read_heads + 1, width, width, 2, read_heads, 3 * read_heads]
        self.interface = nn.Linear(hidden_size, sum(self.sizes))
        self.register_buffer("between", 1 - torch.eye(slots), persistent=False)  # no slot follows itself

    between: Tensor

    def initial_state(self, lanes: int) -> State:
        zero = self.interface.weight.new_zeros(lanes, self.controller.hidden_size)
        slots, width, reads = self.slots, self.width, self.reads
        shapes = (reads * width,), (slots, width), (slots,), (slots,), (slots, slots), (reads, slots), (slots,)
        return zero, zero, *(zero.new_zeros(lanes, *shape) for shape in shapes)

    def scan(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, State]:
        hidden, cell, read, *store = state
        out = []
        for inward in self.controller.inward(x).unbind(1):
            hidden, cell = self.controller(inward, read, hidden, cell)
            read, store = self._access(self.interface(hidden), *store)
            out.append(torch.cat([hidden, read], -1))
        return torch.stack(out, 1), (hidden, cell, read, *store)

    def _access(
        self,
        interface: Tensor,
        memory: Tensor,
        usage: Tensor,
        precedence: Tensor,
        link: Tensor,
        reading: Tensor,
        writing: Tensor,
    ) -> tuple[Tensor, list[Tensor]]:
        """Write, then read; return what is read ``[lanes, reads * width]``, and the parts of the state after."""
        keys, strength, erase, add, gates, free, modes = torch.split(interface, self.sizes, dim=-1)
        keys = keys.unflatten(-1, (self.reads + 1, self.width))
        strength = 1 + F.softplus(strength)[..., None]
        allocate, write = gates.sigmoid().chunk(2, dim=-1)

        kept = reduce(torch.mul, (1 - free.sigmoid()[..., None] * reading).unbind(1))
        usage = (usage + writing - usage * writing) * kept
        found = by_content(memory, keys[:, -1:], strength[:, -1:])[:, 0]
        writing = write * (found + allocate * (_allocation(usage) - found))
        w = writing[..., None]
        memory = memory * (1 - w * erase.sigmoid()[:, None]) + w * add[:, None]

        link = ((1 - w - writing[:, None]) * link + w * precedence[:, None]) * self.between
        precedence = (1 - writing.sum(-1, keepdim=True)) * precedence + writing
        backward, forward = reading @ link, reading @ link.transpose(1, 2)
        found = by_content(memory, keys[:, :-1], strength[:, :-1])
        mode = modes.unflatten(-1, (self.reads, 3)).softmax(-1)
        reading = mode[..., :1] * backward + mode[..., 1:2] * found + mode[..., 2:] * forward
        return (reading @ memory).flatten(1), [memory, usage, precedence, link, reading, writing]


def _allocation(usage: Tensor) -> Tensor:
    """Compute the weight of each slot for new content, the least used first, ``[lanes, slots]``."""
    usage = 1e-6 + (1 - 1e-6) * usage  # keeps the gradient of the product finite where a slot is not used at all
    ranked, order = usage.sort(dim=-1, stable=True)
    logarithm = ranked.log()  # the backward pass of prod and cumprod looks for zeros, and waits for the device to do so
    before = (logarithm.cumsum(-1) - logarithm).exp()
    return torch.zeros_like(usage).scatter(-1, order, (1 - ranked) * before)
