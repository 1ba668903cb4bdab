"""Mistakes in Python: parts that were mixed up, data and loaders of another task, weights that nothing trains."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from memup_lightning.data.targets import Selector, TopK
from memup_lightning.datamodules import CopyDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import LSTM
from memup_lightning.models.predictors import MultiplicativePredictor
from memup_lightning.models.uncertainty import PredictiveUncertainty
from memup_lightning.modules import MemUP
from memup_lightning.rl.algorithms import PPO
from tests.training import quiet_trainer

Make = Callable[..., Any]
STEP_ENCODER: Make = StepEncoder  # without the types of its arguments


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda data: MemUP(TMazeDataModule.task), "task is a property of a class"),  # type: ignore[arg-type]
        (lambda data: MemUP(data), "task is a TMazeDataModule"),
        (lambda data: MemUP(TMazeDataModule), "task is the class TMazeDataModule"),  # type: ignore[arg-type]
        (lambda data: PPO(data), "task is a TMazeDataModule"),
        (lambda data: MemUP({"fields": 1}), "give the result of to_dict()"),
        (lambda data: MemUP(data.task, uncertainty=PredictiveUncertainty), "give PredictiveUncertainty(...)"),  # type: ignore[arg-type]
        (lambda data: MemUP(data.task, memory=LSTM(3)), "memory=LSTM(...) is no class"),
        (lambda data: MemUP(data.task, predictor=MultiplicativePredictor(3, 4, 2)), "predictor is a Mult"),  # type: ignore[arg-type]
        (lambda data: MemUP(data.task, encoder=partial(STEP_ENCODER, size=3)), "encoder=StepEncoder failed"),
        (lambda data: TMazeDataModule(selector=TopK), "selector=TopK is a class; give TopK(...)"),  # type: ignore[arg-type]
        (lambda data: TMazeDataModule(selector="TopK"), "selector='TopK' is no Selector"),  # type: ignore[arg-type]
    ],
)
def test_a_class_and_an_object_that_were_mixed_up_are_named(make: Make, said: str) -> None:
    with pytest.raises(MemUPError) as error:
        make(TMazeDataModule(length=20))
    assert said in str(error.value)


def test_a_model_that_is_called_like_a_network_says_what_predicts() -> None:
    model = MemUP(TMazeDataModule(length=20).task)
    with pytest.raises(MemUPError, match=r"MemUP is not called like a network; trainer\.predict\(.*Predictor\.load"):
        model(torch.zeros(2, 3, 4))


@pytest.mark.parametrize("given", [{"lanes": 8.0}, {"chunk_length": "10"}, {"candidates": True}], ids=str)
def test_a_count_that_is_no_whole_number_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(MemUPError, match="must be a whole number"):
        TMazeDataModule(**given)


def test_a_selector_that_does_not_call_its_base_is_named() -> None:
    class Forgetful(Selector):
        def __init__(self) -> None:
            pass

        def score(self, steps: Any) -> Tensor:
            return steps.uncertainty  # type: ignore[no-any-return]

    with pytest.raises(MemUPError, match=r"Forgetful has no num_targets; call super\(\)"):
        TMazeDataModule(selector=Forgetful())


# --- data and optimizers that do not fit the model


def small(**given: Any) -> TMazeDataModule:
    return TMazeDataModule(**{"length": 20, "num_train": 8, "num_val": 4, "chunk_length": 5, "lanes": 4} | given)


@pytest.mark.parametrize("method", ["fit", "validate"])
def test_data_of_another_task_than_the_models_are_named(method: str) -> None:
    trainer = quiet_trainer(1, [])
    with pytest.raises(
        MemUPError, match=r"observation is \('vector', \(7,\), 0\) in the data and \('vector', \(3,\), 0\)"
    ):
        getattr(trainer, method)(MemUP(small().task), datamodule=small(distractor_noise=4))
    with pytest.raises(MemUPError, match=r"inputs is .* in the data and .* in the model"):
        getattr(trainer, method)(MemUP(small().task), datamodule=CopyDataModule(num_train=4, num_val=4))


def test_a_model_is_evaluated_on_longer_episodes_than_it_was_made_for() -> None:
    (metrics,) = quiet_trainer(1, []).validate(MemUP(small().task), small(length=40), verbose=False)
    assert "val/accuracy" in metrics


def test_a_loader_of_other_batches_is_named() -> None:
    loader: Any = torch.utils.data.DataLoader(torch.zeros(4, 3))  # type: ignore[arg-type]
    with pytest.raises(MemUPError, match="a training batch is a Tensor, not a chunk"):
        quiet_trainer(1, [], limit_val_batches=0).fit(MemUP(small().task), loader)


@pytest.mark.parametrize("optimizer", [lambda p: torch.optim.Adam(list(p)[:2]), partial(torch.optim.Adam, lr=0.0)])
def test_weights_that_the_optimizer_does_not_change_are_warned_of(optimizer: Make) -> None:
    data = small()
    with pytest.warns(UserWarning, match=r"Adam does not change \d+ weights, such as memory"):
        quiet_trainer(1, [], limit_val_batches=0).fit(MemUP(data.task, optimizer=optimizer), data)


def test_a_model_without_anything_to_train_is_refused() -> None:
    data = small()
    model = MemUP(data.task)
    model.requires_grad_(False)
    with pytest.raises(MemUPError, match="there is nothing to train"):
        quiet_trainer(1, [], limit_val_batches=0).fit(model, data)


def test_a_memory_that_was_replaced_by_one_of_another_size_is_named() -> None:
    data = small()
    model = MemUP(data.task)
    model.memory = LSTM(7, 4)
    with pytest.raises(MemUPError, match=r"LSTM\.forward failed: RuntimeError: input\.size"):
        quiet_trainer(1, [], limit_val_batches=0).fit(model, data)


def test_a_tolerance_below_zero_is_refused() -> None:
    with pytest.raises(MemUPError, match="tolerance=-1"):
        _ = small(tolerance=-1.0).task
