"""One suite for all memory cores: list a core in CORES, and everything that a core must keep is tested on it."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.models import memory as cores
from memup_lightning.models.memory import (
    AMRL,
    DNC,
    GRU,
    LSTM,
    NTM,
    RMT,
    SRNN,
    XLSTM,
    GTrXL,
    MinGRU,
    RNNAdapter,
    State,
    check_memory,
    detach,
    put,
    take,
)
from memup_lightning.models.memory.dnc import _allocation
from memup_lightning.models.memory.layers import torch_rnn
from memup_lightning.models.memory.layers.scan import linear_scan
from memup_lightning.models.memory.xlstm import _matrix_memory
from tests.command_line import ROOT
from tests.serving import test_export

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
    "LSTM": partial(LSTM, hidden_size=7),
    "LSTM-recurrent": partial(LSTM, hidden_size=7, additive=False),
    "LSTM-chrono": partial(LSTM, hidden_size=7, chrono=50),
    "LSTM-2-layers": partial(LSTM, hidden_size=7, num_layers=2),
    "GRU": partial(GRU, hidden_size=7),
    "GRU-chrono": partial(GRU, hidden_size=7, chrono=50),
    "GRU-2-layers": partial(GRU, hidden_size=7, num_layers=2),
    "SRNN": partial(SRNN, hidden_size=24, mlp_size=8, gate_bias=0),
    "AMRL-max": partial(AMRL, hidden_size=8),
    "AMRL-avg": partial(AMRL, hidden_size=8, aggregator="avg"),
    "MinGRU": partial(MinGRU, hidden_size=7, num_layers=1),
    "MinGRU-2-layers": partial(MinGRU, hidden_size=7),
    "XLSTM": partial(XLSTM, hidden_size=16, num_heads=2),
    "XLSTM-2-layers": partial(XLSTM, hidden_size=8, num_layers=2, num_heads=1),
    "NTM": partial(NTM, hidden_size=7, slots=5, width=4),
    "NTM-2-heads": partial(NTM, hidden_size=7, slots=5, width=4, read_heads=2),
    "DNC": partial(DNC, hidden_size=7, slots=5, width=4),
    "DNC-2-heads": partial(DNC, hidden_size=7, slots=5, width=4, read_heads=2),
    "GTrXL": partial(GTrXL, hidden_size=8, num_heads=2, window=12),
    "GTrXL-short-window": partial(GTrXL, hidden_size=8, num_layers=3, num_heads=2, window=5),
    "RMT": partial(RMT, hidden_size=8, num_heads=2, memory_tokens=2),
    "RMT-long-segment": partial(RMT, hidden_size=8, num_heads=2, memory_tokens=2, segment_length=30),
    "RNNAdapter-RNN": partial(RNNAdapter, module=nn.RNN, module_args={"hidden_size": 7}),
    "RNNAdapter-LeakyCell": partial(RNNAdapter, module=LeakyCell, state_shapes=[[6], [1, 1]]),
}


def test_every_public_core_is_tested_here_and_in_its_exported_form() -> None:
    public = {x for x in vars(cores).values() if isinstance(x, type) and issubclass(x, cores.Memory)} - {cores.Memory}
    assert not public - {core.func for core in CORES.values()}, "add it to CORES above"  # type: ignore[attr-defined]
    assert not public - {core.func for core in test_export.CORES.values()}, "add it to CORES of test_export.py"


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


@st.composite
def splits(draw: st.DrawFn) -> list[int]:
    cuts = sorted(draw(st.sets(st.integers(1, STEPS - 1))))
    return [b - a for a, b in zip([0, *cuts], [*cuts, STEPS], strict=True)]


@each_core
@settings(max_examples=10, deadline=None)
@given(lengths=splits())
def test_a_pass_in_chunks_equals_the_full_pass(name: str, lengths: list[int]) -> None:
    core, x = core_of(name), inputs()
    whole, end = in_chunks(core, x, [STEPS])
    parts, last = in_chunks(core, x, lengths)
    assert torch.allclose(parts, whole, atol=1e-6)
    for a, b in zip(leaves(last), leaves(end), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@each_core
def test_a_long_pass_in_chunks_equals_the_full_pass(name: str) -> None:
    """Longer than what any core computes at once. The order of sums differs, so 1e-5 and not 1e-6."""
    core = core_of(name)
    x = torch.randn(2, 150, FEATURES, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, _ = in_chunks(core, x, [150])
        parts, _ = in_chunks(core, x, [7, 64, 1, 33, 45])
    assert torch.allclose(parts, whole, atol=1e-5)


@each_core
def test_a_lane_continues_from_where_its_state_is_put(name: str) -> None:
    core, x, state = core_of(name), inputs(), used(core_of(name))
    moved = put(detach(core.initial_state(LANES)), torch.tensor([2]), take(state, torch.tensor([0])))
    out, _ = core(x[[1, 2, 0]], moved, NEVER)
    assert torch.allclose(out[2], core(x, state, NEVER)[0][0], atol=1e-6)


@each_core
def test_the_state_matters(name: str) -> None:
    core, x = core_of(name), inputs()
    assert not torch.allclose(core(x, used(core), NEVER)[0], core(x, core.initial_state(LANES), NEVER)[0], atol=1e-4)


@each_core
@pytest.mark.parametrize("lane", range(LANES))
def test_is_first_gives_that_lane_a_fresh_state_and_leaves_the_others(name: str, lane: int) -> None:
    core, x, state = core_of(name), inputs(), used(core_of(name))
    first = NEVER.clone()
    first[lane] = True
    out, after = core(x, state, first)
    fresh, fresh_after = core(x, core.initial_state(LANES), NEVER)
    on, on_after = core(x, state, NEVER)
    assert torch.equal(out[lane], fresh[lane])
    assert torch.equal(out[~first], on[~first])
    for a, b, c in zip(leaves(after), leaves(fresh_after), leaves(on_after), strict=True):
        assert torch.equal(a[lane], b[lane])
        assert torch.equal(a[~first], c[~first])


@each_core
def test_a_broken_state_is_gone_after_the_reset(name: str) -> None:
    core, x = core_of(name), inputs()
    state = used(core)
    for leaf in leaves(state):
        leaf[1] = torch.nan if leaf.is_floating_point() else 10**6
    out, _ = core(x, state, torch.tensor([False, True, False]))
    assert out.isfinite().all()


@each_core
def test_no_lane_sees_another(name: str) -> None:
    core, x, state = core_of(name), inputs(), used(core_of(name))
    other = x.clone()
    other[1] += 5
    for leaf in leaves(state):
        leaf.requires_grad_(leaf.is_floating_point())
    x.requires_grad_()
    out, _ = core(x, state, NEVER)
    changed, _ = core(other, state, NEVER)
    assert torch.equal(out[[0, 2]], changed[[0, 2]])
    assert not torch.equal(out[1], changed[1])
    out[1].sum().backward()
    assert x.grad is not None
    assert not x.grad[[0, 2]].any()
    assert x.grad[1].any()


@each_core
def test_a_step_does_not_see_the_future(name: str) -> None:
    core, x = core_of(name), inputs()
    later = x.clone()
    later[:, 6:] += 5
    out, changed = (core(y, core.initial_state(LANES), NEVER)[0] for y in (x, later))
    assert torch.allclose(out[:, :6], changed[:, :6], atol=1e-6)


@each_core
def test_the_gradient_flows_through_the_chunk_to_its_first_step(name: str) -> None:
    core, x = core_of(name), inputs().requires_grad_()
    out, _ = core(x, core.initial_state(LANES), NEVER)
    out[:, -1].square().sum().backward()
    assert x.grad is not None
    assert (x.grad[:, 0] != 0).any(-1).all()


@each_core
def test_detach_cuts_the_gradient_between_chunks(name: str) -> None:
    core, first, second = core_of(name), inputs(1).requires_grad_(), inputs(2)
    for cut in (False, True):
        first.grad = None
        _, state = core(first, core.initial_state(LANES), NEVER)
        core(second, detach(state) if cut else state, NEVER)[0].sum().backward()
        assert (first.grad is None) == cut


@each_core
def test_detach_keeps_the_values(name: str) -> None:
    core = core_of(name)
    _, state = core(inputs(), core.initial_state(LANES), NEVER)
    cut = detach(state)
    assert not any(leaf.requires_grad for leaf in leaves(cut))
    assert all(torch.equal(a, b) for a, b in zip(leaves(cut), leaves(state), strict=True))


@each_core
def test_every_parameter_learns(name: str) -> None:
    core = core_of(name)
    core(inputs(), used(core), torch.tensor([True, False, False]))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in core.parameters())


@each_core
def test_the_same_seed_makes_the_same_core(name: str) -> None:
    one, other, third = core_of(name, 3), core_of(name, 3), core_of(name, 4)
    outs = [core(inputs(), core.initial_state(LANES), NEVER)[0] for core in (one, other, third)]
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


@each_core
def test_a_call_does_not_change_what_it_was_given(name: str) -> None:
    core, x = core_of(name), inputs()
    state = used(core)
    before = [leaf.clone() for leaf in leaves(state)]
    one = core(x, state, torch.tensor([True, False, False]))[0]
    assert all(torch.equal(a, b) for a, b in zip(leaves(state), before, strict=True))
    assert torch.equal(core(x, state, torch.tensor([True, False, False]))[0], one)  # nothing is kept in the module


def dtypes(state: State) -> list[torch.dtype]:
    return [leaf.dtype for leaf in leaves(state)]


@pytest.fixture(params=[torch.float64, torch.bfloat16, torch.float16], ids=["64-true", "bf16-true", "16-true"])
def dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    """Lightning's true precisions: they convert the parameters and set the default dtype while the model runs."""
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


@each_core
def test_true_precisions_give_an_output_of_their_dtype_and_keep_the_states_dtypes(
    name: str, dtype: torch.dtype
) -> None:
    core = core_of(name).to(dtype)
    x = inputs().to(dtype).requires_grad_()
    state = core.initial_state(LANES)
    torch.set_default_dtype(torch.float32)
    assert dtypes(core.initial_state(LANES)) == dtypes(state)  # they follow the parameters, not the default
    torch.set_default_dtype(dtype)
    out, after = core(x, state, NEVER)
    assert out.dtype == dtype
    assert out.isfinite().all()
    assert dtypes(after) == dtypes(state)
    out.sum().backward()
    assert x.grad is not None
    assert all(grad.isfinite().all() for grad in (x.grad, *(p.grad for p in core.parameters())))


@each_core
def test_bfloat16_autocast_keeps_the_states_types_and_stays_near_float32(name: str) -> None:
    core, x, state = core_of(name), inputs(), used(core_of(name))
    exact, _ = core(x, state, NEVER)
    with torch.autocast("cpu", torch.bfloat16):
        out, after = core(x, state, NEVER)
    assert dtypes(after) == dtypes(state)
    assert torch.allclose(out.float(), exact, atol=0.1, rtol=0.1)
    out.float().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in core.parameters())


@each_core
def test_the_state_does_not_grow(name: str) -> None:
    core = core_of(name)
    _, after = in_chunks(core, inputs(), [STEPS])
    _, later = in_chunks(core, inputs(3), [5, 7], after)
    assert [leaf.shape for leaf in leaves(later)] == [leaf.shape for leaf in leaves(after)]


@each_core
def test_initial_states_lie_where_the_parameters_do(name: str) -> None:
    core = core_of(name).to("meta")
    assert {leaf.device.type for leaf in leaves(core.initial_state(LANES))} == {"meta"}


@each_core
@pytest.mark.parametrize("lanes", [1, 5])
def test_states_have_the_lane_dimension_first_before_and_after(name: str, lanes: int) -> None:
    core = core_of(name)
    state = core.initial_state(lanes)
    out, after = core(inputs(lanes=lanes), state, torch.zeros(lanes, dtype=torch.bool))
    assert out.shape == (lanes, STEPS, core.output_size)
    shapes = [leaf.shape for leaf in leaves(state)]
    assert {shape[0] for shape in shapes} == {lanes}
    assert [leaf.shape for leaf in leaves(after)] == shapes


@each_core
def test_the_trial_of_the_contract_accepts_the_core_and_leaves_it_as_it_was(name: str) -> None:
    core = core_of(name)
    numbers = torch.get_rng_state()
    assert check_memory(core, FEATURES) == core.output_size
    assert core.training
    assert torch.equal(torch.get_rng_state(), numbers)


@each_core
def test_a_core_comes_back_from_its_state_dict(name: str) -> None:
    core, other = core_of(name, 0), core_of(name, 1)
    other.load_state_dict(core.state_dict())
    outs = [c(inputs(), c.initial_state(LANES), NEVER)[0] for c in (core, other)]
    assert torch.equal(*outs)


# --- impossible sizes


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LSTM(4, hidden_size=0), "hidden_size=0"),
        (lambda: GRU(4, num_layers=0), "num_layers=0"),
        (lambda: LSTM(4, chrono=2), "chrono=2"),
        (lambda: NTM(4, slots=0), "slots=0: must be at least 1"),
        (lambda: MinGRU(4, keep=0), "keep=0"),
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


def test_a_cpu_without_an_lstm_kernel_for_bfloat16_runs_it_in_float32_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lstm = torch.lstm

    def without_avx512(x: Tensor, *rest: Any) -> Any:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive")
        return lstm(x, *rest)

    monkeypatch.setattr(torch, "lstm", without_avx512)
    monkeypatch.setattr("torch.nn.modules.rnn._VF.lstm", without_avx512, raising=False)
    torch_rnn._lstm_supports.cache_clear()
    core = core_of("LSTM")
    with torch.autocast("cpu", torch.bfloat16), pytest.warns(UserWarning, match="no bfloat16 kernel.*float32") as said:
        outs = [core(inputs().bfloat16(), core.initial_state(LANES), NEVER)[0] for _ in range(2)]
    torch_rnn._lstm_supports.cache_clear()
    assert len(said) == 1
    assert torch.equal(outs[0], outs[1])
    assert torch.allclose(outs[0], core(inputs(), core.initial_state(LANES), NEVER)[0], atol=0.01)


def test_mixed_precision_runs_on_a_cpu_with_avx2_alone() -> None:
    code = """if True:
        import torch
        from memup_lightning.models.memory import GRU, LSTM
        x, never = torch.randn(3, 12, 4), torch.zeros(3, dtype=torch.bool)
        for core in (LSTM(4), LSTM(4, additive=False), LSTM(4, num_layers=2, additive=False), GRU(4)):
            exact, _ = core(x, core.initial_state(3), never)
            with torch.autocast("cpu", torch.bfloat16):
                out, _ = core(x, core.initial_state(3), never)
            assert torch.allclose(out.float(), exact, atol=0.1, rtol=0.1)
            out.float().sum().backward()
    """
    limited = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | limited, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("it runs in float32, which is slower") <= 1  # none where the processor is another


# --- chrono initialisation


def test_an_lstm_with_chrono_forgets_after_times_up_to_the_dependency() -> None:
    core = LSTM(4, hidden_size=400, chrono=1000)
    bias = (core.rnn.bias_ih_l0 + core.rnn.bias_hh_l0).detach()
    into, forget = bias[:400], bias[400:800]
    times = forget.exp()
    assert times.min() >= 1
    assert times.max() <= 999
    assert abs(times.mean() - 500) < 60  # uniform in time, not in its logarithm
    assert torch.equal(into, -forget)


def test_an_lstm_with_chrono_and_open_input_gates_takes_in_more_of_a_single_step() -> None:
    def taken_in(chrono_input: bool) -> float:
        torch.manual_seed(1)
        core = LSTM(4, hidden_size=400, chrono=1000, chrono_input=chrono_input)
        _, (_, cell) = core.scan(torch.ones(1, 1, 4), core.initial_state(1))  # type: ignore[misc]
        return float(cell.detach().abs().mean())

    assert taken_in(chrono_input=False) > 20 * taken_in(chrono_input=True)


def test_a_gru_with_chrono_keeps_its_state_for_times_up_to_the_dependency() -> None:
    core = GRU(4, hidden_size=400, chrono=1000)
    update = (core.rnn.bias_ih_l0 + core.rnn.bias_hh_l0).detach()[400:800]
    times = update.exp()
    assert times.min() >= 1
    assert times.max() <= 999
    assert abs(times.mean() - 500) < 60


@pytest.mark.parametrize("core", [partial(LSTM, additive=False), GRU], ids=["LSTM", "GRU"])
def test_a_core_with_chrono_remembers_longer(core: Any) -> None:
    def kept(chrono: int) -> float:
        """How far two states of different beginnings are apart after 300 equal steps, as a share of before."""
        torch.manual_seed(0)
        memory = core(FEATURES, hidden_size=32, chrono=chrono)
        x = torch.randn(2, 300, FEATURES) * 0.1
        x[1] = x[0]
        _, state = memory(torch.randn(2, 5, FEATURES) * 3, memory.initial_state(2), torch.zeros(2, dtype=torch.bool))
        _, after = memory(x, state, torch.zeros(2, dtype=torch.bool))
        apart = [(leaves(s)[-1][0] - leaves(s)[-1][1]).norm().item() for s in (state, after)]
        return apart[1] / apart[0]

    assert kept(1000) > 20 * kept(0)


def test_with_recurrent_candidates_the_initialisation_is_torchs_own() -> None:
    torch.manual_seed(0)
    ours = LSTM(4, hidden_size=5, additive=False)
    torch.manual_seed(0)
    theirs = nn.LSTM(4, 5, batch_first=True)
    assert all(torch.equal(a, b) for a, b in zip(ours.rnn.parameters(), theirs.parameters(), strict=True))


def test_a_fresh_lstm_keeps_an_input_for_1_to_1000_steps() -> None:
    core = LSTM(1, hidden_size=64)
    x = torch.zeros(1, 1001, 1)
    x[0, 0] = 1
    cells = torch.stack([core.scan(x[:, :n], core.initial_state(1))[1][1].flatten() for n in (1, 101, 1001)]).abs()
    kept = (cells[1:] / cells[0]).detach()
    assert ((kept >= 0) & (kept <= 1)).all()  # nothing else is added
    assert 15 < (kept[0] > 0.3).sum() < 30
    assert 1 <= (kept[1] > 0.3).sum() <= 4


@pytest.mark.parametrize("copied", [lambda core: core, copy.deepcopy, lambda core: pickle.loads(pickle.dumps(core))])
@pytest.mark.parametrize("chrono", [0, 50])
@pytest.mark.parametrize("additive", [True, False])
def test_the_candidates_of_an_additive_lstm_never_read_the_state(additive: bool, chrono: int, copied: Any) -> None:
    core = copied(LSTM(FEATURES, hidden_size=6, num_layers=2, additive=additive, chrono=chrono))
    optimizer = torch.optim.Adam(core.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        core.scan(torch.randn(4, 9, FEATURES), core.initial_state(4))[0].square().sum().backward()
        optimizer.step()
    for layer in range(2):
        gates, candidate = core.rnn.get_parameter(f"weight_hh_l{layer}").split([12, 12])[0], slice(12, 18)
        assert gates.any()
        assert bool(core.rnn.get_parameter(f"weight_hh_l{layer}")[candidate].any()) == (not additive)


# --- what single cores promise


def test_the_scan_is_the_loop_and_so_is_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    decay, inject = torch.rand(2, 2, 13, 3, dtype=torch.float64, generator=generator)
    state = torch.rand(2, 3, dtype=torch.float64, generator=generator)
    h, loop = state, []
    for a, b in zip(decay.unbind(1), inject.unbind(1), strict=True):
        h = a * h + b
        loop.append(h)
    assert torch.allclose(linear_scan(decay, inject, state), torch.stack(loop, 1))
    given = [x.requires_grad_() for x in (decay, inject, state)]
    assert torch.autograd.gradcheck(linear_scan, given)


def test_srnn_moves_adds_and_cuts_at_zero_as_a_loop_would() -> None:
    core, x = SRNN(FEATURES, hidden_size=9, gate_bias=0), inputs()
    h, loop = torch.zeros(LANES, 9), []
    for b in (core.mlp(x) * core.gate(x).sigmoid()).unbind(1):
        h = torch.relu(h.roll(1, -1) + b)
        loop.append(h)
    assert torch.allclose(core(x, core.initial_state(LANES), NEVER)[0], torch.stack(loop, 1), atol=1e-6)


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
