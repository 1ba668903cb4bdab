from __future__ import annotations

import torch
from torch import nn

from memup_lightning.exceptions import check_at_least
from memup_lightning.models.memory.layers.torch_rnn import TorchRNN, chrono_time_constants


class LSTM(TorchRNN):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997), torch's kernel.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units of a layer; m_t is the last layer's output.
        num_layers: layers on top of each other.
        chrono: longest dependency in steps for chrono initialisation of the forget and input biases (Tallec & Ollivier,
            ICLR 2018), or 0 for torch's own initialisation.
        chrono_input: whether chrono initialisation closes the input gates as far as it opens the forget gates, as in
            the paper: a cell then averages over its time constant. Without, a cell stores at once an input that comes
            once.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        chrono: int = 0,
        chrono_input: bool = True,
    ) -> None:
        check_at_least(1, hidden_size=hidden_size, num_layers=num_layers)
        super().__init__(nn.LSTM(input_size, hidden_size, num_layers, batch_first=True))
        if chrono:
            for layer in range(num_layers):
                forget = chrono_time_constants(chrono, hidden_size)
                with torch.no_grad():  # gates in torch's order: input, forget, cell, output
                    for name in (f"bias_ih_l{layer}", f"bias_hh_l{layer}"):
                        getattr(self.rnn, name)[: 2 * hidden_size] = 0
                    bias = getattr(self.rnn, f"bias_ih_l{layer}")
                    if chrono_input:
                        bias[:hidden_size] = -forget
                    bias[hidden_size : 2 * hidden_size] = forget
