"""What single memory cores promise beyond the contract."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memup_lightning.models.memory import AMRL, RMT, SRNN, GTrXL, State, detach, srnn
from memup_lightning.models.memory.dnc import _allocation
from memup_lightning.models.memory.layers.scan import linear_scan
from memup_lightning.models.memory.xlstm import _matrix_memory
from tests.models.memory.cores import FEATURES, LANES, NEVER, STEPS, inputs


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
def test_the_scan_is_the_loop_and_so_is_its_gradient(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    decay, inject = torch.rand(2, 2, 13, 3, dtype=dtype, generator=generator)
    decay = decay / 2**0.5  # within the unit circle
    state = torch.rand(2, 3, dtype=dtype, generator=generator)
    h, loop = state, []
    for a, b in zip(decay.unbind(1), inject.unbind(1), strict=True):
        h = a * h + b
        loop.append(h)
    assert torch.allclose(linear_scan(decay, inject, state), torch.stack(loop, 1))
    given = [x.requires_grad_() for x in (decay, inject, state)]
    assert torch.autograd.gradcheck(linear_scan, given)


@pytest.mark.parametrize("graph", [False, True], ids=["loop", "closed form"])
@pytest.mark.parametrize("cut", [True, False])
def test_srnn_moves_adds_and_cuts_at_zero_as_a_loop_would(
    cut: bool, graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(srnn, "_loops", lambda b: not graph)
    core, x = SRNN(FEATURES, hidden_size=9, gate_bias=0, cut=cut).double(), inputs().double()
    state = core.initial_state(LANES).uniform_().requires_grad_()
    h, loop = state, []
    for b in (core.mlp(x) * core.gate(x).sigmoid()).unbind(1):
        h = h.roll(1, -1) + b
        h = torch.relu(h) if cut else h
        loop.append(h)
    expected, found = torch.stack(loop, 1), core.scan(x, state)[0]
    assert torch.allclose(found, expected)
    weight = torch.randn(expected.shape, dtype=torch.float64)
    given = [state, *core.parameters()]
    wanted = torch.autograd.grad((weight * expected).sum(), given)
    for own, gradient in zip(torch.autograd.grad((weight * found).sum(), given), wanted, strict=True):
        assert torch.allclose(own, gradient)


def test_xlstm_reads_its_matrix_as_a_loop_without_stabiliser_would() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 1, 9, 4, generator=generator)
    into, forget = torch.randn(2, 1, 1, 9, generator=generator)
    forget = nn.functional.logsigmoid(forget)
    zero = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4), torch.zeros(1, 1)
    c, n, loop = torch.zeros(4, 4), torch.zeros(4), []
    for q, k, v, i, f in zip(*(part[0, 0] for part in (query, key, value, into, forget)), strict=True):
        c, n = f.exp() * c + i.exp() * torch.outer(k, v), f.exp() * n + i.exp() * k
        loop.append(q @ c / torch.clamp((q @ n).abs(), min=1))
    read, _ = _matrix_memory(zero, query, key, value, into, forget)
    assert torch.allclose(read[0, 0], torch.stack(loop), atol=1e-5)


def first_step_counts(core: Any, steps: int) -> bool:
    """Whether m after some steps depends on the first of them."""
    core, x = core.double(), torch.randn(1, steps, FEATURES, dtype=torch.float64)
    x.requires_grad_()
    core(x, core.initial_state(1), torch.zeros(1, dtype=torch.bool))[0][:, -1].square().sum().backward()
    assert x.grad is not None
    return bool(x.grad[0, 0].any())


def test_gtrxl_sees_layers_times_window_steps_back_and_no_further() -> None:
    torch.manual_seed(0)
    core = GTrXL(FEATURES, hidden_size=8, num_layers=2, num_heads=2, window=5)
    assert first_step_counts(core, 2 * 5 + 1)
    assert not first_step_counts(core, 2 * 5 + 2)


def test_rmt_learns_what_to_write_from_a_later_segment_only() -> None:
    core = RMT(FEATURES, hidden_size=8, num_heads=2, memory_tokens=2, segment_length=5)
    _, state = core(inputs()[:, :4], core.initial_state(LANES), NEVER)
    for steps, taught in ((1, False), (2, True)):
        x = inputs(2)[:, :steps].requires_grad_()
        core(x, detach(state), NEVER)[0][:, -1].square().sum().backward()
        written = core.places.grad[-2:]
        assert bool(written.any()) == taught
        core.zero_grad()


@pytest.mark.parametrize("aggregator", ["max", "avg"])
def test_amrl_passes_each_step_the_whole_gradient(aggregator: Any) -> None:
    core = AMRL(FEATURES, hidden_size=4, aggregator=aggregator)
    hidden: list[Tensor] = []
    scan = core.lstm.scan

    def kept(x: Tensor, state: State) -> tuple[Tensor, State]:
        h, after = scan(x, state)
        h.retain_grad()
        hidden.append(h)
        return h, after

    core.lstm.scan = kept  # type: ignore[method-assign]
    core(inputs(), core.initial_state(LANES), NEVER)[0][:, -1].sum().backward()
    grad = hidden[0].grad
    assert grad is not None
    assert torch.allclose(grad[:, :, 2:], core.out.weight.sum(0)[2:].expand(LANES, STEPS, 2))


def test_dnc_writes_into_the_least_used_slot_first() -> None:
    given = _allocation(torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 1.0]]))
    assert torch.allclose(given, torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), atol=1e-5)
