"""MinGRU: its gate closes entirely, and a fresh one keeps the state for as long as it should."""

from __future__ import annotations

import pytest
import torch

from memup_lightning.models.memory import MinGRU


def test_a_closed_gate_keeps_the_state_for_any_number_of_steps() -> None:
    torch.manual_seed(1)
    core = MinGRU(3, hidden_size=4, num_layers=1)
    with torch.no_grad():
        core.layers[0].weight[:4].zero_()
        core.layers[0].bias[:4] = -4.0  # of the sigmoid 0.018, which would replace the state within 100 steps
    state = torch.randn(2, 1, 4)
    m, after = core(torch.randn(2, 10_000, 3), state, torch.zeros(2, dtype=torch.bool))
    assert torch.equal(after, state)
    assert torch.equal(m[:, -1], state[:, 0])


@pytest.mark.parametrize("keep", [1, 5, 100])
def test_a_fresh_gate_keeps_the_state_for_the_steps_that_were_asked_for(keep: int) -> None:
    core = MinGRU(3, hidden_size=4, num_layers=1, keep=keep)
    with torch.no_grad():
        core.layers[0].bias[4:] = 1.0  # the candidate
    m, _ = core(torch.zeros(1, 1, 3), core.initial_state(1), torch.zeros(1, dtype=torch.bool))
    assert m.flatten().tolist() == pytest.approx([1 / keep] * 4, rel=1e-4)
