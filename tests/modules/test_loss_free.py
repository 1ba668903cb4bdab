"""Episodes from which nothing is learned but what the memory explains, and what that changes in a run."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything
from pytorch_lightning.callbacks import EarlyStopping

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.chunk import Chunk
from memup_lightning.data.targets import Selector, TopK
from memup_lightning.data.targets.explainable import Explainable
from memup_lightning.datamodules import AddingDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.models.outcomes import GaussianOutcome
from memup_lightning.modules import MemUP
from tests.training import quiet_trainer


def data_of(selector: Selector | None = None, **given: Any) -> TMazeDataModule:
    small = {"length": 20, "num_train": 24, "num_val": 8, "chunk_length": 5, "lanes": 16, "chunks_per_epoch": 25}
    data = TMazeDataModule(
        **small | {"selector": selector or Explainable(2), "loss_free": None if selector else 0.25, "seed": 1} | given
    )
    data.setup("fit")
    return data


def chunks(data: TMazeDataModule, count: int = 8, contexts: bool = False) -> list[Chunk]:
    """Chunks whose targets are all of the next steps' last ones."""
    table = data.splits["train"].targets
    zeros = np.zeros(len(table.scored), np.int64)
    position = np.maximum(data.sources["train"].lengths - 1, 0)[:, None]
    table.put(np.arange(len(zeros)), (position, np.ones(position.shape, np.float32)))
    table.complete_refresh()
    return [data.join("train", chunk) for chunk in data.training_lanes().stream(count, contexts)]


def model_for(data: TMazeDataModule, **given: Any) -> MemUP:
    torch.manual_seed(0)
    return MemUP(data.task, memory=partial(LSTM, hidden_size=8), num_clusters=4, **{"current_step": False} | given)


def loss_of(model: MemUP, chunk: Chunk) -> torch.Tensor:
    memory, _ = model.unroll(chunk, None)
    return torch.stack(list(model.losses(chunk, memory).values())).sum()


def test_the_wanted_share_of_the_episodes_is_held_out_whichever_lane_plays_them() -> None:
    data = data_of()
    held: dict[int, set[bool]] = {}
    for chunk in chunks(data, 200):
        assert chunk.loss_free is not None
        for episode, out in zip(chunk.episode.tolist(), chunk.loss_free.tolist(), strict=True):
            held.setdefault(episode, set()).add(out)
    assert all(len(found) == 1 for found in held.values())
    assert sum(True in found for found in held.values()) == 6


def test_without_need_no_episode_is_loss_free() -> None:
    assert chunks(data_of(TopK(1)))[0].loss_free is None


@pytest.mark.parametrize("current", [False, True])
def test_held_out_episodes_enter_no_loss_and_give_no_gradient(current: bool) -> None:
    data = data_of()
    model = model_for(data, current_step=current)
    chunk = next(
        chunk
        for chunk in chunks(data, contexts=current)
        if chunk.loss_free is not None and 0 < chunk.loss_free.sum() < 16
    )
    assert chunk.loss_free is not None
    assert chunk.targets is not None
    assert chunk.probes is not None
    before = loss_of(model, chunk)
    before.backward()
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    chunk.targets.outcome[chunk.loss_free] += 100
    chunk.probes.outcome[chunk.loss_free] -= 100
    if current:
        chunk.outcome[chunk.loss_free] += 100
    after = loss_of(model, chunk)
    after.backward()
    assert torch.equal(before, after)
    for p, was in zip(model.parameters(), gradients, strict=True):
        assert (p.grad is None and was is None) or torch.equal(p.grad, was)
    chunk.targets.outcome[~chunk.loss_free] += 100
    assert loss_of(model, chunk) > after + 1


def test_what_is_known_of_the_clusters_comes_from_loss_free_episodes_alone() -> None:
    data = data_of()
    model = model_for(data)
    some = chunks(data)

    def summary(shift: float, loss_free: bool) -> list[dict[str, Any]]:
        steps = data.training_stream.probe(np.arange(24), np.random.default_rng(0).random((24, 8)))
        model.clusters = None
        model.fit_clusters(steps, seed=0)
        for chunk in some:
            assert chunk.targets is not None
            assert chunk.loss_free is not None
            rows = chunk.loss_free if loss_free else ~chunk.loss_free
            chunk.targets.outcome[rows] += shift
            loss_of(model, chunk)
            chunk.targets.outcome[rows] -= shift
        assert model.clusters is not None
        return model.clusters.summary()

    plain = summary(0.0, False)
    assert plain[0]["share"] > 0
    assert summary(64.0, loss_free=False) == plain
    assert summary(64.0, loss_free=True) != plain


def test_one_episode_alone_cannot_be_loss_free() -> None:
    with pytest.raises(MemUPError, match="only 1 to train on"):
        data_of(num_train=1)


@pytest.mark.learning
def test_among_coin_tosses_a_memory_learns_with_explainable_targets() -> None:
    seed_everything(1)
    data = TMazeDataModule(
        length=40,
        distractors=10,
        num_train=256,
        num_val=128,
        chunk_length=5,
        lanes=32,
        restart=[0.3, 0.1, 0.0],
        evaluation_chunk_length=5,
        selector=Explainable(1),
        seed=1,
    )
    model = MemUP(
        data.task,
        memory=partial(LSTM, hidden_size=32),
        outcome=partial(GaussianOutcome, min_std=0.03),
        num_clusters=8,
        current_step=False,
        optimizer=partial(torch.optim.Adam, lr=5e-3),
    )
    refresh = TargetRefresh(every=100, settle=50)
    learned = EarlyStopping("val/accuracy", mode="max", stopping_threshold=0.99, patience=100)
    trainer = quiet_trainer(2500, [refresh, learned], val_check_interval=250, check_val_every_n_epoch=None)
    trainer.fit(model, data)
    assert float(trainer.callback_metrics["val/accuracy"]) >= 0.99


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_only_outcome_of_an_episode_is_a_target_from_the_first_choice_on(seed: int) -> None:
    seed_everything(seed)
    data = AddingDataModule(
        length=40,
        num_train=64,
        num_val=8,
        chunk_length=10,
        lanes=16,
        selector=Explainable(1),
        loss_free=0.25,
        restart=[0.0],
        chunks_per_epoch=25,
        seed=seed,
    )
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=8), optimizer=partial(torch.optim.Adam, lr=2e-3))
    quiet_trainer(40, [TargetRefresh(every=1_000_000, settle=10, max_wait=20)]).fit(model, data)
    selected = data.splits["train"].targets.select(np.arange(64), np.zeros(64, np.int64))
    assert (selected == 39).all()
    assert model.clusters is not None
    assert model.clusters.presence.max() <= 0.5
