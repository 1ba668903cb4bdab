"""RTRL: its gradients are those of backpropagation through the whole episode, and it learns what TBPTT does not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import seed_everything
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LRU, LSTM, DiagonalMemory, MinGRU, State
from memup_lightning.models.predictors import MultiplicativePredictor
from memup_lightning.modules import RTRL, TBPTT
from tests.models.memory.cores import leaves
from tests.modules.short_episodes import LANES, chunks_of, episodes, model_of
from tests.modules.small_runs import assert_same, data_of, weights
from tests.training import quiet_trainer

FEATURES, UNITS = 3, 4
CORES: dict[str, Any] = {
    "LRU": partial(LRU, hidden_size=UNITS, r_min=0.3, max_phase=3.0),
    "MinGRU": partial(MinGRU, hidden_size=UNITS, num_layers=1, keep=5),
}
each_core = pytest.mark.parametrize("name", CORES)


def core_of(name: str) -> Any:
    torch.manual_seed(0)
    return CORES[name](FEATURES).double()


def inputs(steps: int, features: int = FEATURES) -> Tensor:
    return torch.randn(LANES, steps, features, dtype=torch.float64)


def sum_of_gradients(core: DiagonalMemory, x: Tensor, weight: Tensor, lengths: list[int]) -> dict[str, Tensor]:
    """Gradients of ``(m * weight).sum()``, added up over the chunks of an episode of these lengths."""
    core.zero_grad()
    state, sensitivities = core.initial_state(LANES), core.initial_sensitivities(LANES)
    for part, part_weight in zip(x.split(lengths, 1), weight.split(lengths, 1), strict=True):
        m, after = core.scan(part, core.attach(state, sensitivities))
        (m * part_weight).sum().backward()
        sensitivities = core.advance(part, state, sensitivities)
        state = after.detach()  # type: ignore[union-attr]
    return {name: p.grad.clone() for name, p in core.named_parameters() if p.grad is not None}


@each_core
@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=8))
def test_the_gradients_of_chunks_add_up_to_that_of_the_whole_episode(name: str, lengths: list[int]) -> None:
    core, steps = core_of(name), sum(lengths)
    x, weight = inputs(steps), inputs(steps, UNITS)
    whole, parts = (sum_of_gradients(core, x, weight, split) for split in ([steps], lengths))
    assert parts.keys() == whole.keys() == dict(core.named_parameters()).keys()
    for key, gradient in whole.items():
        torch.testing.assert_close(parts[key], gradient, rtol=1e-9, atol=1e-9)


@each_core
def test_attached_sensitivities_change_no_number(name: str) -> None:
    core, x = core_of(name), inputs(6)
    state = core.scan(x, core.initial_state(LANES))[1].detach()
    sensitivities = core.advance(x, core.initial_state(LANES), core.initial_sensitivities(LANES))
    assert all(leaf.any() for leaf in leaves(sensitivities))
    assert torch.equal(core.attach(state, sensitivities), state)


@each_core
def test_the_sensitivities_of_a_lane_do_not_depend_on_another(name: str) -> None:
    core, x = core_of(name), inputs(6)
    other = x.clone()
    other[1] += 1
    one, two = (core.advance(y, core.initial_state(LANES), core.initial_sensitivities(LANES)) for y in (x, other))
    for a, b in zip(leaves(one), leaves(two), strict=True):
        assert torch.equal(a[[0, 2]], b[[0, 2]])
        assert not torch.equal(a[1], b[1])


# --- in a stream of episodes that begin and end at different chunks


@each_core
def test_every_chunk_has_the_gradient_through_all_steps_of_its_lanes_episodes(name: str) -> None:
    source = episodes(eval_mask=False)
    model = model_of(source, RTRL, memory=CORES[name])
    weights = list(model.memory.parameters())
    unbroken: State = model.memory.initial_state(LANES)
    for chunk in chunks_of(source, model.task, 3, 12):
        loss = model.chunk_losses(chunk)[0]["outcome_loss"]
        memory, unbroken = model.memory(model.encoder(chunk.inputs), unbroken, chunk.is_first)
        expected = model.losses(chunk, memory)["outcome_loss"]
        assert torch.equal(loss, expected)
        whole = torch.autograd.grad(expected, weights, retain_graph=True)
        for own, gradient in zip(torch.autograd.grad(loss, weights), whole, strict=True):
            torch.testing.assert_close(own, gradient, rtol=1e-4, atol=1e-6)


def test_a_broken_lane_is_whole_again_in_its_next_episode() -> None:
    source = episodes()
    model = model_of(source, RTRL, memory=CORES["LRU"])
    (chunk,) = chunks_of(source, model.task, 3, 1)
    assert chunk.is_first.all()
    fresh, after = model.unroll(chunk, None)
    for leaf in leaves(after):
        leaf.detach().fill_(torch.nan)
    memory, again = model.unroll(chunk, after)
    assert torch.equal(memory, fresh)
    assert all(leaf.isfinite().all() for leaf in leaves(again))
    memory.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.memory.parameters())


def test_evaluation_carries_the_state_alone() -> None:
    source = episodes()
    model, plain = (model_of(source, kind, memory=CORES["LRU"]) for kind in (RTRL, TBPTT))
    (chunk,) = chunks_of(source, model.task, 3, 1)
    with torch.no_grad():
        memory, state = model.unroll(chunk, None)
        expected, without = plain.unroll(chunk, None)
    assert torch.equal(memory, expected)
    assert torch.equal(state, without)


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        (
            LSTM,
            "memory=LSTM: RTRL .* element-wise recurrence; give one of LRU, MinGRU, with one layer, or train by MemUP",
        ),
        (partial(LRU, num_layers=2), "LRU num_layers=2: .* give num_layers=1"),
        (MinGRU, "MinGRU num_layers=2: .* give num_layers=1"),
    ],
    ids=["LSTM", "LRU", "MinGRU"],
)
def test_a_core_whose_recurrence_is_not_element_wise_is_refused(memory: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        RTRL(data_of().task, memory=memory)


def test_a_run_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    def fit(updates: int, ckpt: Path | None = None) -> tuple[Any, Any]:
        data = data_of()
        seed_everything(1)
        model = RTRL(data.task, memory=CORES["LRU"])
        trainer = quiet_trainer(updates, [], limit_val_batches=0)
        trainer.fit(model, data, ckpt_path=ckpt)
        return trainer, model

    path = tmp_path / "at_13.ckpt"
    fit(13)[0].save_checkpoint(path)
    (_, straight), (_, resumed) = fit(30), fit(30, path)
    assert_same(weights(straight), weights(resumed))
    for one, other in zip(leaves(straight.lanes.after), leaves(resumed.lanes.after), strict=True):
        assert one.any()
        assert torch.equal(one, other)


class Cut(RTRL):
    """RTRL whose memory is cut: every chunk begins with the state and the sensitivities of a beginning."""

    def unroll(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        return super().unroll(chunk, None)


@pytest.mark.learning
def test_it_learns_to_keep_what_a_fresh_core_forgets_where_tbptt_and_a_cut_memory_do_not() -> None:
    """The hint is 20 steps away from the junction, chunks have 4, and a fresh unit keeps at most a third of the hint."""
    length, chunk_length = 20, 4
    gain = {}
    for kind in (RTRL, TBPTT, Cut):
        sizes: dict[str, Any] = {"num_train": 256, "num_val": 128, "lanes": 32, "seed": 1}
        data = TMazeDataModule(
            length, mode="LN", chunk_length=chunk_length, evaluation_chunk_length=chunk_length, **sizes
        )
        seed_everything(1)
        model = kind(
            data.task,
            memory=partial(LRU, hidden_size=32, r_min=0.5, r_max=0.95),
            predictor=MultiplicativePredictor,
            optimizer=partial(torch.optim.Adam, lr=5e-3),
        )
        trainer = quiet_trainer(800, [], val_check_interval=800, check_val_every_n_epoch=None)
        trainer.fit(model, data)
        gain[kind] = float(trainer.callback_metrics["val/memory_gain"])
    assert gain[RTRL] > 1  # bits; the hint is one, and the reward is known the better
    assert abs(gain[TBPTT]) < 0.3
    assert abs(gain[Cut]) < 0.3
