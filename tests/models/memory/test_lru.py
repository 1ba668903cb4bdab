"""LRU: its recurrence is that of the paper, and a fresh one lies on the ring and has states of the size of its inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from memup_lightning.models.memory import LRU
from tests.models.memory.cores import FEATURES, LANES, inputs


def layer_of(core: LRU) -> dict[str, Tensor]:
    return {name.removeprefix("layers.0."): p.detach() for name, p in core.named_parameters()}


def test_it_computes_the_recurrence_of_the_paper_step_by_step() -> None:
    torch.manual_seed(0)
    core, x = LRU(FEATURES, hidden_size=5, max_phase=3.0).double(), inputs().double()
    p = layer_of(core)
    rate = torch.exp(-torch.exp(p["nu_log"]) + 1j * torch.exp(p["theta_log"]))  # equations of section 3.3
    b = torch.complex(p["inward.weight"][0::2], p["inward.weight"][1::2])
    h, states = torch.zeros(LANES, 5, dtype=torch.complex128), []
    for step in x.unbind(1):
        h = rate * h + torch.exp(p["gamma_log"]) * (step.to(b) @ b.T)
        states.append(h)
    c = torch.complex(p["outward.weight"][:, 0::2], -p["outward.weight"][:, 1::2])
    y = (torch.stack(states, 1) @ c.T).real + x @ p["skip.weight"].T + p["skip.bias"]
    value, gate = (torch.nn.functional.gelu(y) @ p["gate.weight"].T + p["gate.bias"]).chunk(2, -1)
    out, after = core.scan(x, core.initial_state(LANES))
    torch.testing.assert_close(out, y + value * gate.sigmoid())
    torch.testing.assert_close(after, torch.view_as_real(h)[:, None])


def test_fresh_units_lie_on_the_ring_evenly_by_area() -> None:
    torch.manual_seed(0)
    p = layer_of(LRU(FEATURES, hidden_size=20_000, r_min=0.4, r_max=0.8, max_phase=1.0))
    radius, angle = (-p["nu_log"].exp()).exp(), p["theta_log"].exp()
    for value, low, high in ((radius.square(), 0.4**2, 0.8**2), (angle, 0.0, 1.0)):
        assert low <= value.min() <= value.max() <= high + 1e-6
        assert abs(value.mean() - (low + high) / 2) < 0.01 * (high - low)


def test_a_fresh_state_is_of_the_size_of_white_inputs_whatever_the_units_keep() -> None:
    torch.manual_seed(0)
    core = LRU(FEATURES, hidden_size=500, r_min=0.5, r_max=0.99, max_phase=math.pi)
    _, after = core.scan(torch.randn(64, 1000, FEATURES), core.initial_state(64))
    size = torch.view_as_complex(after.detach()).abs().square().mean()
    assert abs(size - 1) < 0.1
