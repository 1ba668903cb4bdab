"""Drift: what the memory moves by where nothing rare comes, and what a penalty on it does."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning import seed_everything
from torch import Tensor

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.models.predictors import MultiplicativePredictor
from memup_lightning.models.regularizers import drift
from memup_lightning.modules import MemUP
from tests.modules.small_memup import chunks_of, episodes, model_of, task_of
from tests.training import quiet_trainer

B, T, M, X = 3, 8, 5, 4


def drawn(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A memory, inputs and which steps there are; a lane has at least two."""
    g = torch.Generator().manual_seed(seed)
    steps = torch.randint(2, T + 1, (B, 1), generator=g)
    return (
        torch.randn(B, T, M, generator=g),
        torch.randn(B, T, X, generator=g),
        torch.arange(T).expand(B, T) < steps,
    )


@given(st.integers(0, 2**16))
def test_every_move_is_the_total_variation_over_the_rarity_of_its_input(seed: int) -> None:
    memory, x, valid = drawn(seed)
    move, counts = drift(memory, x, valid)
    there = x[valid]
    for lane in range(B):
        for step in range(1, T):
            assert counts[lane, step - 1] == valid[lane, step]
            if not valid[lane, step]:
                continue
            z = (x[lane, step] - there.mean(0)) / there.std(0, correction=0)
            distance = (memory[lane, step] - memory[lane, step - 1]).abs().sum()
            assert move[lane, step - 1].item() == pytest.approx((distance / (1 + z.square().max())).item(), rel=1e-3)


@given(st.integers(0, 2**16), st.floats(-100, 100))
def test_steps_that_belong_to_no_episode_change_nothing(seed: int, filler: float) -> None:
    memory, x, valid = drawn(seed)
    there = valid.unsqueeze(-1)
    move, counts = drift(memory, x, valid)
    other, same = drift(memory.where(there, filler), x.where(there, filler), valid)
    assert torch.equal(counts, same)
    assert torch.allclose(move[counts], other[counts])


def test_what_a_rare_input_writes_counts_little() -> None:
    """One lane in 50 sees another token at its third step, and its memory jumps; all drift by the same."""
    token = torch.zeros(50, 6, dtype=torch.int64)
    token[0, 2] = 1
    memory = (0.01 * torch.arange(6.0)).expand(50, 6)[..., None].clone()
    memory[0, 2:] += 1
    move, _ = drift(memory, torch.nn.functional.one_hot(token, 2), torch.ones(50, 6, dtype=torch.bool))
    usual = move[1:]
    assert torch.allclose(usual, torch.full_like(usual, 0.01), rtol=0.05)
    assert move[0, 1] < 0.01  # a jump a hundred times as far


def test_gradients_do_not_reach_the_inputs() -> None:
    memory, x, valid = drawn(1)
    memory.requires_grad_(), x.requires_grad_()
    drift(memory, x, valid)[0].sum().backward()
    assert memory.grad is not None
    assert memory.grad.abs().sum() > 0
    assert x.grad is None


def first_chunk(**given: Any) -> tuple[MemUP, Any, Tensor]:
    source = episodes()
    task = task_of(source)
    model = model_of(task, **given)
    (chunk,) = chunks_of(source, task, TopK(1), 1)
    return model, chunk, model.unroll(chunk, None)[0]


def test_the_penalty_is_a_share_of_the_memorys_size() -> None:
    model, chunk, memory = first_chunk(drift_weight=2.0)
    losses = model.losses(chunk, memory)
    move, counts = drift(memory, model.encoder(chunk.inputs), chunk.valid)
    size = memory.abs().sum(-1)[chunk.valid].mean()
    assert losses["drift_loss"].item() == pytest.approx((2 * move[counts].mean() / size).item(), rel=1e-5)
    # A memory that merely shrinks pays as much.
    shrunk = model.losses(chunk, memory * 0.01)["drift_loss"]
    assert shrunk.item() == pytest.approx(losses["drift_loss"].item(), rel=1e-4)
    assert "size" not in losses


def test_without_a_penalty_there_is_no_term() -> None:
    model, chunk, memory = first_chunk()
    assert "drift_loss" not in model.losses(chunk, memory)


def test_a_memory_that_is_all_zero_has_a_finite_gradient() -> None:
    model, chunk, memory = first_chunk(drift_weight=1.0)
    m = torch.zeros_like(memory, requires_grad=True)
    loss = model.losses(chunk, m)["drift_loss"]
    assert loss.item() == 0
    loss.backward()
    assert m.grad is not None
    assert m.grad.isfinite().all()


def test_a_weight_holds_from_its_update_on() -> None:
    model, chunk, memory = first_chunk(drift_weight={10: 2.0, 20: 0.0, 15: 4.0})
    always, _, _ = first_chunk(drift_weight=1.0)
    expected = always.losses(chunk, memory)["drift_loss"].item()
    for learned, weight in ((0, 0), (9, 0), (10, 2), (14, 2), (15, 4), (19, 4), (20, 0), (999, 0)):
        model.lanes.num_chunks = learned + 1  # with this chunk, whatever number it has in its stream
        found = model.losses(chunk, memory)
        assert ("drift_loss" in found) == (weight > 0)
        if weight:
            assert found["drift_loss"].item() == pytest.approx(weight * expected, rel=1e-5)


@pytest.mark.parametrize("penalty", [{-1: 1.0}, {5: -1.0}, -0.1, float("nan"), float("inf")])
def test_an_impossible_penalty_is_refused(penalty: float) -> None:
    with pytest.raises(MemUPError, match=re.escape(f"drift_weight={penalty}")):
        model_of(task_of(episodes()), drift_weight=penalty)


def test_chunks_of_one_step_are_refused() -> None:
    model, chunk, memory = first_chunk(drift_weight=1.0)
    with pytest.raises(MemUPError, match=r"drift_weight=.*1\.0.*chunk_length=1"):
        model.losses(replace(chunk, valid=chunk.valid[:, :1]), memory[:, :1])


@pytest.mark.learning
def test_a_memory_with_the_drift_regularizer_drifts_less_in_corridors_longer_than_it_was_trained_on() -> None:
    """Mazes of 40 steps, chunks of 5: what the state moves by between steps 50 and 450 of longer ones, as a share of it."""
    moved = {penalty: [moved_by(penalty, seed) for seed in (1, 2, 3)] for penalty in (0.0, 3.0)}
    assert sum(moved[3.0]) < 0.6 * sum(moved[0.0]), moved


def moved_by(penalty: float, seed: int) -> float:
    seed_everything(seed)
    sizes = {"num_train": 256, "num_val": 32, "chunk_length": 5, "lanes": 32, "seed": 1}
    data = TMazeDataModule(length=40, restart=[0.3, 0.1, 0.0], **sizes)
    model = MemUP(
        data.task,
        memory=partial(LSTM, hidden_size=32),
        optimizer=partial(torch.optim.Adam, lr=5e-3),
        drift_weight=penalty,
        predictor=MultiplicativePredictor,
    )
    quiet_trainer(400, [TargetRefresh(every=100, settle=50)]).fit(model, data)
    longer = TMazeDataModule(length=500, **sizes)
    longer.setup("validate")
    chunk = next(iter(longer.splits["val"].chunks(chunk_length=451)))
    with torch.no_grad():
        memory, _ = model.unroll(chunk, None)
    early, late = memory[:, 50], memory[:, 450]
    return ((late - early).abs().sum() / early.abs().sum()).item()
