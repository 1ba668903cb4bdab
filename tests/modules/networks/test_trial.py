"""Networks, selectors and uncertainties of a user's own that break their contract: one sentence when a run begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.outcomes import GaussianOutcome
from memup_lightning.models.predictors import OutcomePredictor
from memup_lightning.models.uncertainty import LocalPredictor
from memup_lightning.modules import MemUP
from tests.training import fit_briefly, quiet_trainer

Make = Callable[..., Any]
STEP_ENCODER: Make = StepEncoder  # without the types of its arguments
NAN = float("nan")


class OwnPredictor(OutcomePredictor):
    def __init__(self, context: int, memory: int, params: int, change: Make) -> None:
        super().__init__()
        self.context, self.memory, self.change = nn.Linear(context, params), nn.Linear(memory, params), change

    def forward(self, context: Tensor, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        made: Tensor = self.change(self.context(context), self.memory(memory), distance)
        return made


class OwnEncoder(StepEncoder):
    def __init__(self, fields: Any, change: Make) -> None:
        super().__init__(fields)
        self.change = change

    def forward(self, fields: Any) -> Tensor:
        made: Tensor = self.change(super().forward(fields))
        return made


class OwnLocal(LocalPredictor):
    def forward(self, context: Any) -> Tensor:
        return super().forward(context)[..., :1]


class OwnOutcome(GaussianOutcome):
    def __init__(self, field: Any, tolerance: float, **methods: Make) -> None:
        super().__init__(field, tolerance)
        for name, change in methods.items():
            setattr(self, name, partial(_changed, change, getattr(self, name)))


def _changed(change: Make, method: Make, *args: Any) -> Any:
    return change(method(*args))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c, m, d: (c + m)[..., :1], "shape [3, 6, 2, 1]; it must be [3, 6, 2, 2]"),
        (lambda c, m, d: c, "shape [3, 1, 2, 2]; it must be [3, 6, 2, 2]"),
        (lambda c, m, d: (c + m).double(), "float64; it must return float32"),
        (lambda c, m, d: (c + m, d), "returned a tuple"),
        (lambda c, m, d: (c + m) * NAN, "returned nan for training steps"),
        (lambda c, m, d: torch.cat([c, m], -1), "forward failed: RuntimeError"),
        (lambda c, m, d: c + m - (c + m).mean(1 if c.dim() > 2 else 0, keepdim=True), "for each pair"),
        (lambda c, m, d: c + m * d[..., None], "without distance failed"),
    ],
)
def test_a_predictor_that_breaks_its_contract_is_named(change: Make, said: str) -> None:
    with pytest.raises(MemUPError, match=r"OwnPredictor\.forward") as error:
        fit_briefly(predictor=partial(OwnPredictor, change=change))
    assert said in str(error.value)


def test_a_predictor_that_keeps_gradients_from_the_memory_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"OwnPredictor\.forward passes no gradient to the memory"):
        fit_briefly(predictor=partial(OwnPredictor, change=lambda c, m, d: c + m.detach()))


@pytest.mark.parametrize("key", ["encoder", "context_encoder"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[..., :2], "returned shape"),
        (lambda x: x.long(), "returned int64; it must return float32"),
        (lambda x: x * NAN, "returned nan"),
        (lambda x: x - x.mean(0, keepdim=True), "must encode each step by itself"),
        (lambda x: x.nothing, "forward failed: AttributeError"),
    ],
)
def test_an_encoder_that_breaks_its_contract_is_named(key: str, change: Make, said: str) -> None:
    with pytest.raises(MemUPError, match=r"OwnEncoder\.forward") as error:
        fit_briefly(**{key: partial(OwnEncoder, change=change)})
    assert said in str(error.value)


def test_an_encoder_that_reads_later_steps_is_refused() -> None:
    with pytest.raises(MemUPError, match="must encode each step by itself"):
        fit_briefly(encoder=partial(OwnEncoder, change=lambda x: x.roll(-1, 1)))


def test_a_local_predictor_of_another_size_is_named() -> None:
    with pytest.raises(MemUPError, match=r"OwnLocal\.forward returned shape \[64, 1\]; it must be \[64, 2\]"):
        fit_briefly(local=OwnLocal)


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"loss": Tensor.mean}, "OwnOutcome.loss returned shape []; it must be [64]"),
        ({"nll": lambda x: x[..., None]}, "OwnOutcome.nll returned shape [64, 1]"),
        ({"nll": lambda x: x * NAN}, "OwnOutcome.nll returned nan"),
        ({"memory_loss": Tensor.detach}, "OwnOutcome.memory_loss passes no gradient"),
        ({"uncertainty": lambda x: x / 0}, "OwnOutcome.uncertainty returned"),
        ({"predict": lambda x: x[..., None]}, "OwnOutcome.predict returned shape [64, 1]"),
        ({"correct": lambda x: x[..., None]}, "OwnOutcome.correct returned shape [64, 1]"),
        ({"scores": lambda x: x | {"mae": x["mse"]}}, "['mae'] must be in both"),
    ],
)
def test_an_outcome_that_breaks_its_contract_is_named(methods: dict[str, Make], said: str) -> None:
    with pytest.raises(MemUPError) as error:
        fit_briefly(outcome=partial(OwnOutcome, **methods))
    assert said in str(error.value)


def test_an_outcome_without_a_number_of_parameters_is_named() -> None:
    class NoSize(GaussianOutcome):
        def __init__(self, field: Any, tolerance: float) -> None:
            super().__init__(field, tolerance)
            del self.num_parameters

    with pytest.raises(MemUPError, match=r"NoSize\.num_parameters is missing"):
        fit_briefly(outcome=NoSize)


def test_the_trial_changes_neither_random_numbers_nor_buffers() -> None:
    class Drawing(StepEncoder):
        def __init__(self, fields: Any) -> None:
            super().__init__(fields)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, fields: Any) -> Tensor:
            self.get_buffer("calls").add_(1)
            torch.rand(1)
            return super().forward(fields)

    class Seen(TMazeDataModule):
        def train_dataloader(self) -> Any:
            seen.append((float(model.encoder.calls), torch.rand(1).item()))
            return super().train_dataloader()

    seen: list[tuple[float, float]] = []
    data = Seen(length=20, num_train=8, num_val=4, chunk_length=5, lanes=4, chunks_per_epoch=20, seed=1)
    model: Any = MemUP(data.task, encoder=Drawing)
    torch.manual_seed(3)
    expected = torch.rand(1).item()
    torch.manual_seed(3)
    quiet_trainer(1, [], limit_val_batches=0).fit(model, data)
    assert seen == [(0.0, expected)]
