"""Whole runs of MemUP: that they repeat bit for bit, and what reaches weights, metrics and messages."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything
from torch import Tensor

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming.samplers import SequentialSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.models.predictors import MultiplicativePredictor
from memup_lightning.models.uncertainty import AverageSurprise
from memup_lightning.modules import MemUP
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.modules.small_memup import (
    LENGTHS,
    R,
    chunks_of,
    episodes,
    model_of,
    task_of,
)
from tests.training import quiet_trainer


def fit(num_workers: int = 0, updates: int = 60, seed: int = 1, **parts: Any) -> tuple[MemUP, TMazeDataModule]:
    seed_everything(seed)
    data = TMazeDataModule(
        length=20,
        num_train=24,
        num_val=8,
        chunk_length=5,
        lanes=8,
        restart=[0.2, 0.0],
        chunks_per_epoch=25,
        num_workers=num_workers,
        seed=seed,
    )
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=8), **parts)
    refresh = TargetRefresh(every=10, settle=5, max_wait=10, max_steps=300)
    trainer = quiet_trainer(
        updates,
        [refresh],
        val_check_interval=20,
        check_val_every_n_epoch=None,
    )
    trainer.fit(model, data)
    assert not updates or data.splits["train"].targets.num_refreshes >= updates // 10 - 1
    return model, data


def same(model: MemUP, other: MemUP) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_same_seed_gives_the_same_weights_bit_for_bit_with_any_number_of_workers(num_workers: int) -> None:
    ours, theirs = fit(), fit(num_workers)
    assert same(ours[0], theirs[0])
    found, expected = (data.splits["train"].targets for _, data in (ours, theirs))
    episodes = np.arange(len(found.scored))
    assert all(np.array_equal(a, b) for a, b in zip(found.take(episodes), expected.take(episodes), strict=True))


def test_average_surprise_finds_the_junction_and_follows_the_weights_through_a_fit() -> None:
    model, data = fit(uncertainty=AverageSurprise(decay=0.9), updates=120)
    table, source = data.splits["train"].targets, data.sources["train"]
    chosen = table.select(np.arange(24), np.zeros(24, np.int64))[:, 0]
    assert (chosen == source.lengths - 1)[table.scored].mean() > 0.9
    assert isinstance(model.uncertainty, AverageSurprise)
    start, _ = fit(uncertainty=AverageSurprise(decay=0.9), updates=0)
    average, before = (
        dict(model.uncertainty.average["memory"].named_parameters()),
        dict(start.memory.named_parameters()),
    )
    for name, now in model.memory.named_parameters():
        behind, moved = (now - average[name]).abs().max(), (now - before[name]).abs().max()
        assert 0 < behind < moved / 2


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_in_either_precision_with_a_fused_optimizer_too(
    precision: Any, fused: bool, algorithm: str
) -> None:
    data = TMazeDataModule(length=30, lanes=4, num_train=8, num_val=2, num_test=2, seed=1)
    sgd = partial(torch.optim.SGD, lr=1.0, fused=fused)
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=5), optimizer=sgd)
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    trainer = quiet_trainer(
        1, [], precision=precision, gradient_clip_val=1e-3, gradient_clip_algorithm=algorithm, limit_val_batches=0
    )
    trainer.fit(model, data)
    moved = (torch.nn.utils.parameters_to_vector(model.parameters()) - before).detach()
    size = moved.abs().max() if algorithm == "value" else moved.norm()
    assert float(size) == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize("current", [None, False, True])
@pytest.mark.parametrize("outcome", [FieldSpec(), FieldSpec((), "int32", "token", 3)], ids=["number", "class"])
def test_a_value_where_there_is_no_outcome_reaches_no_weight(outcome: FieldSpec, current: bool | None) -> None:
    def weights(nothing: float) -> dict[str, Tensor]:
        rng = np.random.default_rng(0)
        steps = int(LENGTHS.sum())
        known = rng.random(steps) < 0.4
        given = rng.integers(0, 3, steps).astype(outcome.dtype)
        given[~known] = nothing
        see = rng.normal(size=(steps, 2)).astype(np.float32)
        fields = {OUTCOME: outcome}
        source = ArrayEpisodes({"see": see, OUTCOME: given, HAS_OUTCOME: known}, LENGTHS, fields)
        task = TaskSpec(source.fields, {"see": 0}, ("see",), outcome, window=2)
        model = model_of(task, current_step=current)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for chunk in chunks_of(source, task, TopK(2), 12, contexts=current is not False):
            optimizer.zero_grad()
            model.training_step(chunk, 0)["loss"].backward()
            optimizer.step()
        return model.state_dict()

    one, other = weights(0), weights(255 if outcome.classes else math.nan)
    assert all(torch.equal(x, other[name]) for name, x in one.items())


@pytest.mark.parametrize("current", [None, True])
def test_the_share_of_own_steps_that_count_is_that_of_the_last_chunk(current: bool | None) -> None:
    """In a maze the reward at the junction alone is uncertain, once the local predictor knows the others."""
    model, _ = fit(updates=200, current_step=current)
    share = model.own_share()
    assert share == 1 if current else 0 <= share < 0.2


def test_own_steps_are_counted_at_the_first_updates_and_at_each_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    source, task = episodes(), task_of(episodes())
    model, chunk = model_of(task, current_step=True), chunks_of(source, task, TopK(2), 1, contexts=True)[0]
    chunk.valid, counted = torch.ones_like(chunk.valid), []
    steps, updates = chunk.valid.numel(), range(1, 35)
    for update in updates:
        monkeypatch.setattr(MemUP, "global_step", update - 1)
        # As many as the update's number.
        chunk.has_outcome = (torch.arange(steps) < update % steps).view_as(chunk.valid)
        model.training_step(chunk, 0)
        counted.append(round(model.own_share() * steps))
    assert counted == [(update if update < 10 else update // 10 * 10) % steps for update in updates]


@pytest.mark.parametrize(("ahead", "alike"), [(0.5, True), (5.0, False)])
def test_own_steps_that_only_look_as_uncertain_as_the_targets_do_not_count(
    monkeypatch: pytest.MonkeyPatch, ahead: float, alike: bool
) -> None:
    """A local predictor that has learned nothing takes every step for as uncertain."""
    source, task = episodes(), task_of(episodes())
    model = model_of(task, current_step=None)
    monkeypatch.setattr(model.local, "forward", lambda context: torch.zeros(*context["see"].shape[:2], 2))
    chunk = chunks_of(source, task, TopK(2), 1, contexts=True)[0]
    assert chunk.targets is not None
    chunk.outcome = torch.zeros_like(chunk.outcome)
    chunk.targets = replace(chunk.targets, outcome=torch.full_like(chunk.targets.outcome, ahead))
    model.training_step(chunk, 0)
    assert (model.own_share() > 0.1) == alike


def test_memory_gain_counts_no_target_that_the_chunk_has_shown() -> None:
    source, task = episodes(), task_of(episodes())
    model, chunk = model_of(task), chunks_of(episodes(), task, TopK(2), 1)[0]
    assert chunk.targets is not None
    chunk.targets = replace(chunk.targets, valid=torch.ones_like(chunk.targets.valid))
    last = chunk.start[:, None] + chunk.num_steps - 1
    memory, _ = model.unroll(chunk, None)
    for before in (True, False):
        chunk.targets = replace(chunk.targets, position=last.expand_as(chunk.targets.valid) - int(before))
        gain = model.diagnostics(chunk, memory.detach())["train/memory_gain"]
        assert bool(gain == 0) is before
    assert source.fields == task.fields


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_outcomes_that_cannot_be_distinguished_are_named_at_the_first_evaluation(scale: float) -> None:
    source = episodes()
    source.arrays[OUTCOME] = (source.arrays[OUTCOME] > 0).astype(np.float32) * scale
    task = task_of(source)
    model = model_of(task)
    model.log = lambda *args, **given: None  # type: ignore[method-assign]
    chunks = ChunkStream(source, task, SequentialSampler(LENGTHS, 2, R), 3)
    model.start_evaluation()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for chunk in chunks:
            model.evaluate(chunk)
        model.end_evaluation("val")
    found = [str(x.message) for x in said if "evaluated outcomes" in str(x.message)]
    if scale == 1:
        assert not found
    else:
        assert "differ by 0.01 spreads" in found[0]
        assert "tolerance=0.25" in found[0]


def test_a_predictor_that_takes_no_distance_is_refused_by_name() -> None:
    class Old(MultiplicativePredictor):
        def forward(self, context: Tensor, memory: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(context, memory)

    with pytest.raises(MemUPError, match=r"Old\.forward takes context, memory; a predictor takes .* distance"):
        model_of(task_of(episodes()), predictor=Old)
