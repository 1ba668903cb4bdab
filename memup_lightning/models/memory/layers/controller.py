"""Parts of NTM and DNC: an LSTM controller that reads the memory matrix of the previous step, and lookup by content."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memup_lightning.models.memory.base import accumulation_dtype


class Controller(nn.Module):
    """LSTM cell on the step's input and on what was read at the previous step.

    The inputs' share of the gates is computed for all steps at once, outside the loop.

    Args:
        input_size: features of a step.
        read_size: numbers read from the memory at a step.
        hidden_size: units.
    """

    def __init__(self, input_size: int, read_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.inward = nn.Linear(input_size, 4 * hidden_size)
        self.back = nn.Linear(read_size + hidden_size, 4 * hidden_size, bias=False)
        with torch.no_grad():
            # Forget gates begin open (Jozefowicz et al., ICML 2015).
            self.inward.bias[hidden_size : 2 * hidden_size] = 1

    def forward(self, inward: Tensor, read: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one step.

        Args:
            inward: the inputs' share of the gates, ``[lanes, 4 * hidden_size]``.
            read: ``[lanes, read_size]``.
            hidden, cell: of the step before, ``[lanes, hidden_size]``.

        Returns:
            hidden and cell after the step.
        """
        into, forget, new, out = (inward + self.back(torch.cat([read, hidden], -1))).chunk(4, dim=-1)
        cell = forget.sigmoid() * cell + into.sigmoid() * new.tanh()
        return out.sigmoid() * cell.tanh(), cell


def by_content(memory: Tensor, keys: Tensor, strength: Tensor) -> Tensor:
    """Compute weights over the slots by cosine similarity, sharpened (Graves et al., 2014, equations 5-6).

    Args:
        memory: ``[lanes, slots, width]``.
        keys: ``[lanes, heads, width]``.
        strength: ``[lanes, heads, 1]``.

    Returns:
        ``[lanes, heads, slots]``; the weights of each head sum to 1.
    """
    similarity = unit(keys) @ unit(memory).transpose(1, 2)
    return (strength * similarity).softmax(-1)


def unit(x: Tensor) -> Tensor:
    """Scale vectors to length 1; one near zero stays near zero, and its gradient finite (in float16 it would not be)."""
    wide = x.to(accumulation_dtype(x.dtype))
    return (wide * (wide.square().sum(-1, keepdim=True) + 1e-6).rsqrt()).to(x.dtype)
