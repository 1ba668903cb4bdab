"""What every memory core must keep: tested on each of CORES (cores.py)."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isabstract

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.models import memory
from memup_lightning.models.memory import State, check_memory, detach, put, take
from tests.models.memory.cores import (
    CORES,
    FEATURES,
    LANES,
    NEVER,
    STEPS,
    core_of,
    each_core,
    in_chunks,
    inputs,
    leaves,
    used,
)


def test_every_public_core_is_tried() -> None:
    classes = {name: x for name, x in vars(memory).items() if isinstance(x, type) and issubclass(x, memory.Memory)}
    public = {name for name, x in classes.items() if not isabstract(x)}
    missing = public - {core.func.__name__ for core in CORES.values()}  # type: ignore[attr-defined]
    assert not missing, f"add {', '.join(sorted(missing))} to CORES of tests/models/memory/cores.py"


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
    assert (x.grad[:, 0] != 0).any(-1).all(), "the units of a lane may all be off: give a core with ReLUs more units"


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
