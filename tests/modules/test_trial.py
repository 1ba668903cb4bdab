"""Networks, selectors and uncertainties of a user's own that break their contract: one sentence when a run begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memup_lightning.data.targets import Selector, TopK
from memup_lightning.datamodules import CopyDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import LSTM
from memup_lightning.models.outcomes import GaussianOutcome
from memup_lightning.models.predictors import MultiplicativePredictor, Predictor
from memup_lightning.models.uncertainty import LocalPredictor, PredictiveUncertainty, Uncertainty
from memup_lightning.modules import MemUP
from memup_lightning.modules.targets.refresh import TargetRefresh
from memup_lightning.rl.algorithms import PPO
from tests.training import quiet_trainer

Make = Callable[..., Any]
STEP_ENCODER: Make = StepEncoder  # without the types of its arguments
NAN = float("nan")


def fit(selector: Selector | None = None, **parts: Any) -> MemUP:
    data = TMazeDataModule(
        length=20, num_train=8, num_val=4, chunk_length=5, lanes=4, chunks_per_epoch=20, seed=1, selector=selector
    )
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=4), **parts)
    trainer = quiet_trainer(4, [TargetRefresh(every=2, settle=1, max_wait=2)], limit_val_batches=0)
    trainer.fit(model, data)
    return model


class OwnPredictor(Predictor):
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


class OwnUncertainty(Uncertainty):
    def __init__(self, made: Make) -> None:
        super().__init__()
        self.made = made

    def forward(self, model: Any, chunk: Any, state: Any) -> Any:
        return self.made(torch.ones(chunk.valid.shape), state)


class OwnSelector(Selector):
    def __init__(self, made: Make, prune: Make | None = None) -> None:
        super().__init__(1)
        self.made, self.pruned = made, prune

    def score(self, steps: Any) -> Any:
        return self.made(steps)

    def prune(self, score: Tensor, episode: Tensor, position: Tensor, draw: int) -> Any:
        return score if self.pruned is None else self.pruned(score)


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
        fit(predictor=partial(OwnPredictor, change=change))
    assert said in str(error.value)


def test_a_predictor_that_keeps_gradients_from_the_memory_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"OwnPredictor\.forward passes no gradient to the memory"):
        fit(predictor=partial(OwnPredictor, change=lambda c, m, d: c + m.detach()))


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
        fit(**{key: partial(OwnEncoder, change=change)})
    assert said in str(error.value)


def test_an_encoder_that_reads_later_steps_is_refused() -> None:
    with pytest.raises(MemUPError, match="must encode each step by itself"):
        fit(encoder=partial(OwnEncoder, change=lambda x: x.roll(-1, 1)))


def test_a_local_predictor_of_another_size_is_named() -> None:
    with pytest.raises(MemUPError, match=r"OwnLocal\.forward returned shape \[64, 1\]; it must be \[64, 2\]"):
        fit(local=OwnLocal)


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
        fit(outcome=partial(OwnOutcome, **methods))
    assert said in str(error.value)


def test_an_outcome_without_a_number_of_parameters_is_named() -> None:
    class NoSize(GaussianOutcome):
        def __init__(self, field: Any, tolerance: float) -> None:
            super().__init__(field, tolerance)
            del self.num_parameters

    with pytest.raises(MemUPError, match=r"NoSize\.num_parameters is missing"):
        fit(outcome=NoSize)


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


# --- scores


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda s: s.uncertainty * NAN, "returned nan for step 0 of episode"),
        (lambda s: torch.where(s.position == 3, torch.inf, s.uncertainty), "returned inf for step 3 of episode"),
        (lambda s: s.uncertainty.double() + 1e300, "1e+300, which is inf in float32, for step"),
        (lambda s: s.uncertainty.mean(1), "returned shape [8]; it must return [rows, steps] = [8, 500]"),
        (lambda s: s.uncertainty[:, :1], "returned shape [8, 1]; it must return [rows, steps] = [8, 500]"),
        (lambda s: s.uncertainty.numpy(), "returned a ndarray"),
        (lambda s: s.uncertainty.cfloat(), "returned complex64"),
        (lambda s: s.surprise, "failed: AttributeError"),
    ],
)
def test_a_selector_whose_scores_choose_nothing_is_named(made: Make, said: str) -> None:
    with pytest.raises(MemUPError, match=r"OwnSelector\.score") as error:
        fit(OwnSelector(made))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("prune", "said"),
    [
        (lambda x: x * NAN, "returned nan"),
        (lambda x: x[:, :1], "returned shape"),
        (lambda x: None, "returned a NoneType"),
    ],
)
def test_pruned_scores_are_checked_too(prune: Make, said: str) -> None:
    with pytest.raises(MemUPError, match=r"OwnSelector\.prune") as error:
        fit(OwnSelector(lambda s: -s.position.float(), prune))
    assert said in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_scores_of_whole_numbers_count_as_numbers(dtype: torch.dtype) -> None:
    model = fit(OwnSelector(lambda s: (s.position == 7).to(dtype)))
    data: Any = model.trainer.datamodule  # type: ignore[attr-defined]
    first = data.splits["train"].targets.select(*2 * [torch.zeros(1, dtype=torch.int64).numpy()])
    assert first.tolist() == [[7]]


def test_a_selector_that_chooses_nothing_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="OwnSelector selected no step of 8 episodes"):
        fit(OwnSelector(lambda s: torch.full_like(s.uncertainty, -torch.inf)))


def test_a_selector_may_exclude_single_steps_or_want_no_targets(recwarn: pytest.WarningsRecorder) -> None:
    fit(OwnSelector(lambda s: torch.where(s.position == 3, 0.0, -torch.inf)))
    fit(TopK(0))
    assert not [x for x in recwarn if "selected no step" in str(x.message)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda u, s: (u * NAN, s), "returned nan for step 0 of episode"),
        (lambda u, s: (u[:, 0], s), "returned shape [8]; it must return [rows, steps] = [8, 500]"),
        (lambda u, s: u, "returned a Tensor; an uncertainty"),
        (lambda u, s: u.nothing, "failed: AttributeError"),
    ],
)
def test_an_uncertainty_that_breaks_its_contract_is_named(made: Make, said: str) -> None:
    with pytest.raises(MemUPError, match=r"OwnUncertainty\.forward") as error:
        fit(uncertainty=OwnUncertainty(made))
    assert said in str(error.value)


# --- a class where an object is needed, and the other way round


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
