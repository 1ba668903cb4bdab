"""A memory is learned where one is needed, and nothing is learned without it.

T-Maze-LNR with 20 steps and gradients that cross 5: what the hint at step 0 says about the reward at the junction
can only be carried by the state.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning import seed_everything

from memup_lightning.data.targets import Selector, TopK
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.models.memory import GRU, LSTM
from memup_lightning.models.outcomes import GaussianOutcome, QuantileOutcome
from memup_lightning.modules import MemUP
from tests.training import Forgetful, fit_and_validate

pytestmark = pytest.mark.learning

CHUNK = 5


RECURRENT = partial(LSTM, additive=False)  # learns a maze in fewer updates, though less of what is not a maze


def learn(model_class: type[MemUP] = MemUP, *, updates: int, length: int = 20, **given: Any) -> dict[str, float]:
    """Metrics on validation mazes at the end of a run."""
    seed_everything(1)
    selector: Selector = given.pop("selector", None) or TopK(1)
    data = TMazeDataModule(
        length=length,
        num_train=256,
        num_val=128,
        chunk_length=CHUNK,
        lanes=32,
        restart=[0.3, 0.1, 0.0],
        evaluation_chunk_length=CHUNK,  # else a cut memory would see hint and junction in one chunk
        selector=selector,
        seed=1,
    )
    given = {"memory": partial(RECURRENT, hidden_size=32), "outcome": GaussianOutcome} | given
    model = model_class(data.task, optimizer=partial(torch.optim.Adam, lr=5e-3), **given)
    return fit_and_validate(model, data, updates, every=100, settle=50)


UPDATES = 500
OUTCOMES = {"gaussian": GaussianOutcome, "quantile": partial(QuantileOutcome, num_quantiles=8)}
CHANCE = math.log(3.5) + 0.5 * math.log(2 * math.pi * math.e)
"""NLL at the junction of the best Gaussian that knows nothing: its outcome is +4 or -3, half of the time each."""


@pytest.mark.parametrize(("core", "outcome"), [(RECURRENT, "gaussian"), (GRU, "quantile")], ids=["LSTM", "GRU"])
def test_a_memory_learns_to_carry_the_hint_to_the_junction(core: Any, outcome: str) -> None:
    found = learn(memory=partial(core, hidden_size=32), outcome=OUTCOMES[outcome], updates=UPDATES)
    assert found["val/accuracy"] >= 0.99
    assert found["val/target_recall"] >= 0.99
    assert found["val/memory_gain"] > 0.7  # the hint is one bit


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_same_model_with_its_memory_cut_stays_at_chance(outcome: str) -> None:
    found = learn(Forgetful, outcome=OUTCOMES[outcome], updates=UPDATES)
    assert found["val/target_recall"] >= 0.99  # the right steps are asked about; the answer is not there
    assert found["val/accuracy"] <= 0.65
    assert abs(found["val/memory_gain"]) < 0.7  # the predictor without memory is half a bit worse; the hint gives more
    if outcome == "gaussian":
        assert found["val/nll"] > CHANCE - 0.1


def test_without_far_targets_truncated_backpropagation_stays_at_chance() -> None:
    found = learn(selector=TopK(0), current_step=True, updates=UPDATES)
    assert found["val/accuracy"] <= 0.65
    assert found["val/nll"] > CHANCE - 0.1
