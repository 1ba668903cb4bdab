from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import check_counts, check_effect
from memup_lightning.models.memory.layers.torch_rnn import TorchRNN, chrono_time_constants

_LONGEST = 1000.0  # steps: the longest time constant of fresh cells
_INPUT_SCALE = 2.0  # standard deviation of what a fresh candidate reads, for inputs of variance 1


class LSTM(TorchRNN):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997), torch's kernel.

    By default a cell's candidate reads the step's input alone, while its gates read m_{t-1} as well: the recurrent additive
    network of Lee, Levy & Zettlemoyer ("Recurrent Additive Networks", 2017). Gradients that cross a chunk raise the gain of
    a loop through the candidates, since a larger state is easier to read at the chunk's end; over many chunks such a loop
    overwrites what it amplified. Fresh cells keep an input for 1 to 1,000 steps, evenly in the logarithm, so that a state
    holds traces of what came long ago before the memory has learned anything. Their input gates let in about one over the
    square root of that time, so noise at every step adds up to the same size in each.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units of a layer; m_t is the last layer's output.
        num_layers: layers on top of each other.
        additive: whether candidates read the step's input alone. If not, and without ``chrono``, the initialisation is
            torch's own.
        chrono: longest dependency in steps for chrono initialisation of the forget and input biases (Tallec & Ollivier,
            ICLR 2018), or 0.
        chrono_input: whether chrono initialisation closes the input gates as far as it opens the forget gates, as in
            the paper: a cell then averages over its time constant. Without, a cell stores at once an input that comes
            once.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        additive: bool = True,
        chrono: int = 0,
        chrono_input: bool = True,
    ) -> None:
        check_counts(1, hidden_size=hidden_size, num_layers=num_layers)
        if not chrono:
            check_effect("LSTM chrono_input", chrono_input, True, "without chrono", "set chrono too, or leave it out")
        super().__init__(nn.LSTM(input_size, hidden_size, num_layers, batch_first=True))
        self.additive = additive
        # Gates in torch's order: input, forget, candidate, output.
        self._input, self._forget, self._candidate = (slice(n * hidden_size, (n + 1) * hidden_size) for n in range(3))
        with torch.no_grad():
            for layer in range(num_layers):
                if additive:
                    self._spread_time_constants(layer)
                if chrono:
                    self._chrono(layer, chrono, chrono_input)
        self._keep_candidates_additive()

    def _spread_time_constants(self, layer: int) -> None:
        for side in ("ih", "hh"):
            getattr(self.rnn, f"bias_{side}_l{layer}").zero_()
        steps = torch.logspace(0, math.log10(_LONGEST), self.rnn.hidden_size).clamp(min=1.5)
        bias = getattr(self.rnn, f"bias_ih_l{layer}")
        bias[self._input], bias[self._forget] = -0.5 * steps.log(), torch.log(steps - 1)
        weight = getattr(self.rnn, f"weight_ih_l{layer}")
        nn.init.normal_(weight[self._candidate], std=_INPUT_SCALE / math.sqrt(weight.shape[1]))
        # Gates of a fresh memory do not depend on its state.
        getattr(self.rnn, f"weight_hh_l{layer}").zero_()

    def _chrono(self, layer: int, chrono: int, closes_input: bool) -> None:
        forget = chrono_time_constants(chrono, self.rnn.hidden_size)
        for side in ("ih", "hh"):
            bias = getattr(self.rnn, f"bias_{side}_l{layer}")
            bias[self._input], bias[self._forget] = 0, 0
        bias = getattr(self.rnn, f"bias_ih_l{layer}")
        if closes_input:
            bias[self._input] = -forget
        bias[self._forget] = forget

    def _keep_candidates_additive(self) -> None:
        """Keep the candidates' recurrent weights at 0: they get no gradient."""

        def without_candidate(gradient: Tensor) -> Tensor:
            gates = gradient.clone()
            gates[self._candidate] = 0
            return gates

        if self.additive:
            for layer in range(self.rnn.num_layers):
                weight = getattr(self.rnn, f"weight_hh_l{layer}")
                if weight.requires_grad:
                    weight.register_hook(without_candidate)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._keep_candidates_additive()  # a copy of a parameter has no hooks
