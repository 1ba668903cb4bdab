from __future__ import annotations

import torch
from torch import nn

from memup_lightning.exceptions import check_counts
from memup_lightning.models.memory.layers.torch_rnn import TorchRNN, chrono_time_constants


class GRU(TorchRNN):
    """Gated recurrent unit (Cho et al., EMNLP 2014), torch's kernel.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units of a layer; m_t is the last layer's output.
        num_layers: layers on top of each other.
        chrono: longest dependency in steps for chrono initialisation of the update bias (Tallec & Ollivier, ICLR 2018),
            or 0 for torch's own initialisation.
    """

    def __init__(self, input_size: int, hidden_size: int = 64, num_layers: int = 1, chrono: int = 0) -> None:
        check_counts(1, hidden_size=hidden_size, num_layers=num_layers)
        super().__init__(nn.GRU(input_size, hidden_size, num_layers, batch_first=True))
        if chrono:
            for layer in range(num_layers):
                with torch.no_grad():  # gates in torch's order: reset, update, new; an open update gate keeps the state
                    gate = slice(hidden_size, 2 * hidden_size)
                    getattr(self.rnn, f"bias_hh_l{layer}")[gate] = 0
                    getattr(self.rnn, f"bias_ih_l{layer}")[gate] = chrono_time_constants(chrono, hidden_size)
