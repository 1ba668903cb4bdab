"""The adding problem: what an episode shows, what it asks for, and that the answer is learned."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.datamodules import AddingDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.models.outcomes import GaussianOutcome
from memup_lightning.models.predictors import AdditivePredictor
from memup_lightning.modules import MemUP
from tests.training import Forgetful, fit_and_validate


def episodes(length: int, number: int) -> dict[str, np.ndarray]:
    """All steps of the first episodes, ``[number, length, ...]``."""
    source = AddingDataModule(length=length, num_train=number, seed=1).episodes("train")
    return source.gather(np.arange(number), np.zeros(number, np.int64), length, list(source.fields))


@pytest.mark.parametrize("length", [2, 3, 20, 501])
def test_one_step_of_each_half_is_marked_and_the_end_asks_for_the_sum_of_their_numbers(length: int) -> None:
    arrays = episodes(length, 40)
    number, mark = arrays["observation"][..., 0], arrays["observation"][..., 1]
    assert set(np.unique(mark)) <= {0, 1}
    assert (mark[:, : length // 2].sum(1) == 1).all()
    assert (mark[:, length // 2 :].sum(1) == 1).all()
    assert arrays[OUTCOME][:, -1] == pytest.approx((number * mark).sum(1))


def test_only_the_last_step_has_an_outcome_and_is_evaluated() -> None:
    arrays = episodes(12, 5)
    for name in (HAS_OUTCOME, EVAL_MASK):
        assert (arrays[name] == (np.arange(12) == 11)).all()


def test_numbers_are_uniform_and_marks_come_anywhere_in_their_half() -> None:
    arrays = episodes(10, 4000)
    number, mark = arrays["observation"][..., 0], arrays["observation"][..., 1]
    assert number.min() >= 0
    assert number.max() <= 1
    assert np.abs(np.quantile(number, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.01
    assert np.abs(mark.mean(0) - 0.2).max() < 0.03
    assert arrays[OUTCOME][:, -1].var() == pytest.approx(1 / 6, rel=0.06)  # what the mean as an answer costs


@pytest.mark.parametrize(("argument", "value"), [("length", 1), ("num_train", 0), ("num_test", -1)])
def test_an_adding_problem_of_nothing_is_refused(argument: str, value: int) -> None:
    with pytest.raises(MemUPError, match=f"{argument}={value}: must be at least"):
        AddingDataModule(**{argument: value})


@pytest.mark.learning
@pytest.mark.parametrize(("model_class", "learns"), [(MemUP, True), (Forgetful, False)])
def test_the_sum_is_learned_across_chunks_and_not_with_the_memory_cut(model_class: type[MemUP], learns: bool) -> None:
    seed_everything(1)
    data = AddingDataModule(
        length=20,
        num_train=2000,
        num_val=200,
        chunk_length=5,
        lanes=64,
        restart=[0.0],
        evaluation_chunk_length=5,
        seed=1,
    )
    model = model_class(
        data.task,
        memory=partial(LSTM, hidden_size=32, chrono=20),
        outcome=partial(GaussianOutcome, min_std=0.05),
        predictor=AdditivePredictor,
        current_step=False,
        optimizer=partial(torch.optim.Adam, lr=1e-2),
    )
    mse = fit_and_validate(model, data, 800, every=10**6, settle=20, max_wait=40)["val/mse"]
    if learns:
        assert mse < 0.02
    else:
        assert mse > 0.08  # the last five steps rarely hold a mark; the first is never seen
