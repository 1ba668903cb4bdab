"""Sizes and arguments that a memory core refuses."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import AMRL, GRU, LRU, LSTM, NTM, RMT, XLSTM, GTrXL, MinGRU, RNNAdapter
from tests.models.memory.cores import LeakyCell


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LSTM(4, hidden_size=0), "hidden_size=0"),
        (lambda: GRU(4, num_layers=0), "num_layers=0"),
        (lambda: LSTM(4, chrono=2), "chrono=2"),
        (lambda: NTM(4, slots=0), "slots=0: must be at least 1"),
        (lambda: MinGRU(4, keep=0), "keep=0"),
        (lambda: LRU(4, r_min=0.9, r_max=1.0), r"LRU r_min=0\.9, r_max=1\.0: give radii with 0 <= r_min < r_max < 1"),
        (lambda: LRU(4, max_phase=0), "LRU max_phase=0"),
        (lambda: AMRL(4, hidden_size=7), "hidden_size=7.*even number"),
        (lambda: AMRL(4, aggregator="sum"), "aggregator='sum'.*max or avg"),  # type: ignore[arg-type]
        (lambda: XLSTM(4, hidden_size=12), "hidden_size=12, num_heads=4"),
        (lambda: GTrXL(4, hidden_size=12), "hidden_size=12, num_heads=4"),
        (lambda: RMT(4, hidden_size=10), "hidden_size=10 is no multiple of num_heads=4"),
        (lambda: RNNAdapter(4, LeakyCell), "does not know the state of LeakyCell; give state_shapes"),
        (lambda: RNNAdapter(4, nn.GRU, {"hidden_size": 3, "batch_first": False}), "batch_first=False"),
        (
            lambda: RNNAdapter(4, nn.GRU, {"hidden_size": 3, "bidirectional": True}),
            "one direction",
        ),
        (lambda: RNNAdapter(4, nn.LSTM, {"hidden_size": 3, "proj_size": 2}), "proj_size=2"),
        (lambda: RNNAdapter(4, nn.GRU, {"hiden_size": 3}), "GRU.*hiden_size.*module_args"),
    ],
)
def test_an_impossible_core_is_refused_with_its_value(make: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        make()
