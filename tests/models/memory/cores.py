"""The memory cores that the tests try, small, and what the tests do with them. A new core is added to CORES."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memup_lightning.models import memory
from memup_lightning.models.memory import State, detach

LANES, STEPS, FEATURES = 3, 12, 4


class LeakyCell(nn.Module):
    """A module of a user's own: two states of different shape, called as torch's recurrent modules are."""

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.inward = nn.Linear(input_size, 6)
        self.outward = nn.Linear(6, 5)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        trace, count = state
        out = []
        for step in x.unbind(1):
            trace = 0.9 * trace + torch.tanh(self.inward(step))
            count = count + 1
            out.append(torch.relu(self.outward(trace)) / count.sqrt().flatten(1))
        return torch.stack(out, 1), (trace, count)


CORES: dict[str, Callable[[int], Any]] = {
    "LSTM": partial(memory.LSTM, hidden_size=7),
    "LSTM-recurrent": partial(memory.LSTM, hidden_size=7, additive=False),
    "LSTM-chrono": partial(memory.LSTM, hidden_size=7, chrono=50),
    "LSTM-2-layers": partial(memory.LSTM, hidden_size=7, num_layers=2),
    "GRU": partial(memory.GRU, hidden_size=7),
    "GRU-chrono": partial(memory.GRU, hidden_size=7, chrono=50),
    "GRU-2-layers": partial(memory.GRU, hidden_size=7, num_layers=2),
    "SRNN": partial(memory.SRNN, hidden_size=24, mlp_size=8, gate_bias=0),
    "SRNN-not-cut": partial(memory.SRNN, hidden_size=24, mlp_size=8, gate_bias=0, cut=False),
    "AMRL-max": partial(memory.AMRL, hidden_size=8),
    "AMRL-avg": partial(memory.AMRL, hidden_size=8, aggregator="avg"),
    "MinGRU": partial(memory.MinGRU, hidden_size=7, num_layers=1),
    "MinGRU-2-layers": partial(memory.MinGRU, hidden_size=7),
    "LRU": partial(memory.LRU, hidden_size=7),
    "LRU-2-layers": partial(memory.LRU, hidden_size=7, num_layers=2),
    "XLSTM": partial(memory.XLSTM, hidden_size=16, num_heads=2),
    "XLSTM-2-layers": partial(memory.XLSTM, hidden_size=8, num_layers=2, num_heads=1),
    "NTM": partial(memory.NTM, hidden_size=7, slots=5, width=4),
    "NTM-2-heads": partial(memory.NTM, hidden_size=7, slots=5, width=4, read_heads=2),
    "DNC": partial(memory.DNC, hidden_size=7, slots=5, width=4),
    "DNC-2-heads": partial(memory.DNC, hidden_size=7, slots=5, width=4, read_heads=2),
    "GTrXL": partial(memory.GTrXL, hidden_size=8, num_heads=2, window=12),
    "GTrXL-short-window": partial(memory.GTrXL, hidden_size=8, num_layers=3, num_heads=2, window=5),
    "RMT": partial(memory.RMT, hidden_size=8, num_heads=2, memory_tokens=2),
    "RMT-long-segment": partial(memory.RMT, hidden_size=8, num_heads=2, memory_tokens=2, segment_length=30),
    "RNNAdapter-RNN": partial(memory.RNNAdapter, module=nn.RNN, module_args={"hidden_size": 7}),
    "RNNAdapter-LeakyCell": partial(memory.RNNAdapter, module=LeakyCell, state_shapes=[[6], [1, 1]]),
}
"""Name -> core. Export is tested with the first core of each class."""

each_core = pytest.mark.parametrize("name", CORES)
NEVER = torch.zeros(LANES, dtype=torch.bool)


def core_of(name: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return CORES[name](FEATURES)


def inputs(seed: int = 1, lanes: int = LANES) -> Tensor:
    return torch.randn(lanes, STEPS, FEATURES, generator=torch.Generator().manual_seed(seed))


def leaves(state: State) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [leaf for part in state for leaf in leaves(part)]


def in_chunks(core: Any, x: Tensor, lengths: list[int], state: State | None = None) -> tuple[Tensor, State]:
    state = core.initial_state(len(x)) if state is None else state
    out = []
    for part in x.split(lengths, dim=1):
        m, state = core(part, state, torch.zeros(len(x), dtype=torch.bool, device=x.device))
        out.append(m)
    return torch.cat(out, 1), state


def used(core: Any) -> State:
    """A state after some steps."""
    return detach(in_chunks(core, inputs(9), [STEPS])[1])
