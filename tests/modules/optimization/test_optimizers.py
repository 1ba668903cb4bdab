"""The matrices of predictors decay, by the learning rate of their group: biases, memory and frozen weights do not."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemoryAdam, MemUP
from tests.training import quiet_trainer


def test_chosen_matrices_decay_by_the_rate_of_their_group() -> None:
    first, second, bias, other, frozen = (
        Parameter(torch.ones(size)) for size in ((2, 3), (3, 2), (3,), (2, 2), (2, 2))
    )
    optimizer = MemoryAdam(
        [{"params": [first], "lr": 0.5}, {"params": [second, bias, other]}], lr=0.1, predictor_decay=0.2
    )
    optimizer.decay([first, second, bias, frozen])
    for x in (first, second, bias, other):
        x.grad = torch.zeros_like(x)
    optimizer.step()  # without gradients: what changes has decayed
    assert first.detach().allclose(torch.tensor(0.9))
    assert second.detach().allclose(torch.tensor(0.98))
    for stays in (bias, other, frozen):
        assert torch.equal(stays, torch.ones_like(stays))


def test_all_matrices_decay_once_the_memory_does_and_a_resumed_run_knows_it() -> None:
    def step(optimizer: MemoryAdam, weights: list[Parameter]) -> None:
        for x in weights:
            x.grad = torch.zeros_like(x)
        optimizer.step()

    first, second = ([Parameter(torch.ones(size)) for size in ((2, 3), (3, 2), (3,))] for _ in range(2))
    optimizer = MemoryAdam(first, lr=0.1, predictor_decay=0.2)
    optimizer.decay(first[:1])
    optimizer.decay_memory(0.5)
    step(optimizer, first)
    assert [float(x.mean()) for x in first] == pytest.approx([0.95, 0.95, 1.0])
    resumed = MemoryAdam(second, lr=0.1, predictor_decay=0.2)
    resumed.decay(second[:1])
    resumed.load_state_dict(optimizer.state_dict())
    step(resumed, second)
    assert [float(x.mean()) for x in second] == pytest.approx([0.95, 0.95, 1.0])


def after_updates(predictor_decay: float) -> dict[str, Tensor]:
    """Train two updates without gradients; what has changed, as a share of what it was."""
    torch.manual_seed(1)
    data = TMazeDataModule(length=10, num_train=8, num_val=4, chunk_length=5, lanes=4, chunks_per_epoch=4, seed=1)
    optimizer = partial(MemoryAdam, lr=0.5, predictor_decay=predictor_decay)
    model = MemUP(data.task, optimizer=optimizer, lr_scheduler=None)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.register_hook(torch.zeros_like)
    quiet_trainer(2, [], limit_val_batches=0).fit(model, data)
    return {name: p.detach() / before[name] for name, p in model.named_parameters() if not torch.equal(p, before[name])}


def test_the_predictors_of_a_model_decay_and_nothing_else() -> None:
    changed = after_updates(0.2)
    assert {name.split(".")[0] for name in changed} == {"predictor", "local"}
    assert all(x.ndim > 1 for x in changed.values())
    assert all(x[x.isfinite()].allclose(torch.tensor(0.81)) for x in changed.values())


def test_none_decays_at_0() -> None:
    assert after_updates(0.0) == {}


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_decay_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(MemUPError, match="predictor_decay="):
        MemoryAdam([Parameter(torch.ones(1))], predictor_decay=value)
