"""Uncertainties by which a MemUP scores its steps."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch

from memup_lightning.data.streaming.samplers import ShuffledLaneSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.ema import update_ema
from memup_lightning.models.outcomes import GaussianOutcome
from memup_lightning.models.uncertainty import AverageSurprise
from tests.modules.small_memup import (
    LENGTHS,
    R,
    context_of,
    episodes,
    model_of,
    task_of,
)


def test_predictive_uncertainty_refuses_a_fixed_variance() -> None:
    with pytest.raises(
        MemUPError, match=r"fixed variance.*learned_variance=True\) or take uncertainty: AverageSurprise"
    ):
        model_of(task_of(episodes()), outcome=partial(GaussianOutcome, learned_variance=False))


def test_predictive_uncertainty_is_the_local_entropy_of_each_step() -> None:
    source = episodes(classes=4)
    task = task_of(source)
    model = model_of(task)
    chunk = next(iter(ChunkStream(source, task, ShuffledLaneSampler(LENGTHS, 3, R), 1)))
    u, _ = model.score(chunk, None)
    for lane in range(3):
        for place in torch.nonzero(chunk.valid[lane]).flatten().tolist():
            context = context_of(source, task, int(chunk.episode[lane]), int(chunk.start[lane]) + place)
            p = model.local(context).softmax(-1)
            assert u[lane, place].item() == pytest.approx(-(p * p.log()).sum().item(), abs=1e-5)


def test_average_surprise_is_the_nll_of_a_copy_that_lags() -> None:
    source = episodes()
    task = task_of(source)
    model = model_of(task, uncertainty=AverageSurprise(decay=0.5))
    start = {name: p.detach().clone() for name, p in model.memory.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(1.0)
    model.uncertainty.update(model)
    average = model.uncertainty.average["memory"]
    for name, p in average.named_parameters():
        assert torch.allclose(p, start[name] + 0.5, atol=1e-6)
    schedule = ShuffledLaneSampler(LENGTHS, 3, R)
    chunks = list(ChunkStream(source, task, schedule, 3))
    lagging = model_of(task)
    for name in ("encoder", "memory", "context_encoder", "predictor"):
        getattr(lagging, name).load_state_dict(model.uncertainty.average[name].state_dict())
    state, theirs = None, None
    for chunk in chunks:
        u, state = model.score(chunk, state)
        memory, theirs = lagging.unroll(chunk, theirs)
        params = lagging.predictor(lagging.context_encoder(chunk.windows(task.window)), memory)
        assert torch.allclose(u, lagging.outcome.nll(params, chunk.outcome), atol=1e-6)


def test_a_copy_follows_with_the_mean_of_weights_and_the_buffers_of_now() -> None:
    learner = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    copied = deepcopy(learner)
    before = {name: x.clone() for name, x in copied.named_parameters()}
    learner(torch.randn(8, 2))
    with torch.no_grad():
        for p in learner.parameters():
            p.add_(1.0)
    update_ema([copied], [learner], 0.75)
    for name, x in copied.named_parameters():
        torch.testing.assert_close(x, before[name] + 0.25)
    assert all(torch.equal(x, learner.get_buffer(name)) for name, x in copied.named_buffers())
    assert copied[1].running_mean.any()


def test_the_lagging_copy_is_not_trained_by_the_optimizer() -> None:
    model = model_of(task_of(episodes()), uncertainty=AverageSurprise())
    optimizer = model.configure_optimizers()["optimizer"]
    ours = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not ours & {id(p) for p in model.uncertainty.parameters()}
    assert {id(p) for p in model.memory.parameters()} <= ours


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_an_impossible_decay_is_refused(decay: float) -> None:
    with pytest.raises(MemUPError, match=f"decay={decay}"):
        AverageSurprise(decay)
