"""The average of the weights: what it contains, who evaluates with it, and what checkpoints hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn

from memup_lightning.modules import MemUP
from memup_lightning.modules.weight_average import WeightAverage
from tests.modules.small_runs import data_of, model_of
from tests.training import quiet_trainer


class Line(nn.Module):
    """One weight that has the number of the update as its value."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.frozen = nn.Parameter(torch.ones(()), requires_grad=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


@pytest.mark.parametrize("updates", [1000, 5000])
def test_it_lags_behind_by_a_twentieth_of_the_updates(updates: int) -> None:
    line = Line()
    average = WeightAverage(line)
    for n in range(1, updates + 1):
        with torch.no_grad():
            line.weight.fill_(n)
        average.update(n)
    assert set(average.other_weights()) == {"weight"}
    mean = float(average.other_weights()["weight"])
    assert updates / 25 < updates - mean < updates / 15


@pytest.mark.parametrize("updates", [1, 5, 10])
def test_the_weights_from_before_a_run_do_not_count(updates: int) -> None:
    line = Line()
    average = WeightAverage(line)
    with torch.no_grad():
        line.weight.fill_(3.0)
    for n in range(1, updates + 1):
        average.update(n)
    assert average.other_weights()["weight"] == 3


def test_swapping_twice_changes_nothing() -> None:
    line = Line()
    average = WeightAverage(line)
    with torch.no_grad():
        line.weight.fill_(7.0)
    average.swap()
    assert (float(line.weight), average.swapped) == (0, True)
    average.swap()
    assert (float(line.weight), float(average.other_weights()["weight"]), average.swapped) == (7, 0, False)


class Witness(Callback):
    """Copies one weight in training, in validation and at the end of the run."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Tensor]] = {"training": [], "validation": []}
        self.end: Tensor | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        self.seen["training"].append(weight(pl_module))

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        self.after = weight(pl_module)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        self.seen["validation"].append(weight(pl_module))

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.seen["validation"].append(weight(pl_module))

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.end = weight(pl_module)


def weight(model: MemUP) -> Tensor:
    return next(model.local.parameters()).detach().clone()


def fitted(updates: int, folder: Path | None = None, **given: Any) -> tuple[MemUP, Witness, Trainer]:
    torch.manual_seed(1)
    data = data_of()
    witness, model = Witness(), model_of(data, MemUP)
    trainer = quiet_trainer(updates, [witness], val_check_interval=updates, check_val_every_n_epoch=None, **given)
    trainer.fit(model, data)
    if folder is not None:
        trainer.save_checkpoint(folder / "end.ckpt")
    return model, witness, trainer


def test_validation_and_the_end_of_a_run_have_the_average_and_training_has_its_own_weights() -> None:
    model, witness, _ = fitted(20)
    assert witness.end is not None
    assert all(torch.equal(x, witness.seen["validation"][0]) for x in witness.seen["validation"])
    assert torch.equal(witness.end, witness.seen["validation"][0])
    assert torch.equal(weight(model), witness.end)
    assert not torch.equal(witness.end, witness.after)


def test_training_goes_on_with_its_own_weights_after_a_validation() -> None:
    with_validation, without = (fitted(20, limit_val_batches=n)[1] for n in (1, 0))
    assert with_validation.seen["validation"]
    assert not without.seen["validation"]
    assert torch.equal(with_validation.after, without.after)


def test_a_checkpoint_has_the_average_as_its_weights_and_those_in_training_beside_it(tmp_path: Path) -> None:
    model, witness, _ = fitted(20, tmp_path)
    name = next(name for name, _ in model.named_parameters() if name.startswith("local."))
    checkpoint = torch.load(tmp_path / "end.ckpt", weights_only=True)
    assert torch.equal(checkpoint["state_dict"][name], witness.end)
    assert torch.equal(checkpoint["training_weights"][name], witness.after)


def test_a_resumed_run_with_nothing_left_to_do_ends_with_the_average(tmp_path: Path) -> None:
    _, witness, _ = fitted(20, tmp_path)
    data = data_of()
    model = model_of(data, MemUP)
    quiet_trainer(20, []).fit(model, data, ckpt_path=tmp_path / "end.ckpt", weights_only=True)
    assert torch.equal(weight(model), witness.end)


def test_another_fit_of_the_model_begins_with_the_average() -> None:
    model, witness, _ = fitted(20)
    again = Witness()
    quiet_trainer(1, [again], num_sanity_val_steps=1).fit(model, data_of())
    assert torch.equal(again.seen["training"][0], witness.end)
