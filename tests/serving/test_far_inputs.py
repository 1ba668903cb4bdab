"""Inputs of whole episodes in another unit than in training: of all of them, of some, or single readings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning.callbacks import PredictionWriter
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.models.scaling import Standardizer
from memup_lightning.modules import MemUP
from memup_lightning.modules.ranges.far_inputs import Rows, far_inputs
from memup_lightning.modules.ranges.input_range import InputRange
from memup_lightning.serving import Predictor
from memup_lightning.serving.inputs.reading import saved_reading
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.training import quiet_trainer

FIELDS = {"x": FieldSpec((), names=("heat",))}


def known(heat: Any, has_range: bool = True) -> InputRange:
    model = MemUP(TaskSpec(FIELDS, {"x": 0}, ("x",), FieldSpec((), "int64", "token", 2)), memory=LSTM)
    for part in model.modules():
        if isinstance(part, Standardizer):
            part.fit(heat[:, None])
    return InputRange(model.encoder, FIELDS, (heat.min()[None], heat.max()[None]) if has_range else None)


def said(known: InputRange, episodes: list[Any], **given: Any) -> list[str]:
    keys = [f"m{number}" for number in range(len(episodes))]
    lengths = np.array([len(x) for x in episodes])
    return far_inputs(known, Rows({"x": np.concatenate(episodes)}, lengths, keys, "machine", **given))


RNG = np.random.default_rng(1)
CELSIUS = RNG.uniform(180, 260, 5000)


def usual(steps: int = 40) -> Any:
    return np.random.default_rng(steps).uniform(180, 260, steps)


def fahrenheit(celsius: Any) -> Any:
    return celsius * 1.8 + 32


def test_one_machine_of_five_in_another_unit_is_named() -> None:
    (found,) = said(known(CELSIUS), [usual(), usual(50), fahrenheit(usual()), usual(), usual()])
    assert found.startswith(
        "'heat' is far from its training data in 1 of 5 episodes (machine m2): its median there is 4"
    )
    assert "in training it was 2" in found
    assert found.endswith("from 180 to 260; is it in the same unit there?")
    (found,) = said(known(CELSIUS, False), [usual(), usual() * 1000])
    assert "in 1 of 2 episodes (machine m1)" in found


def test_short_episodes_in_another_unit_count_together() -> None:
    episodes = [fahrenheit(usual(6)) if number % 5 == 0 else usual(6) for number in range(40)]
    (found,) = said(known(CELSIUS), episodes)
    assert "in 8 of 40 episodes (machine m0, m5, m10, ...)" in found
    (few,) = said(known(CELSIUS), [fahrenheit(usual(6)), *[usual(6)] * 9])
    assert "at 6 of 60 steps" in few
    assert "is it a wrong reading?" in few


def test_of_most_episodes_all_are_said_to_be_in_another_unit() -> None:
    (found,) = said(known(CELSIUS), [fahrenheit(usual())] * 3 + [usual()])
    assert "at 75% of the steps" in found


def test_a_wrong_reading_elsewhere_is_said_too_where_every_step_is_there() -> None:
    wrong = usual()
    wrong[7] = 999.0
    episodes = [fahrenheit(usual()), wrong, usual(), usual()]
    unit, reading = said(known(CELSIUS), episodes)
    assert "in 1 of 4 episodes" in unit
    assert "at 1 of 160 steps: it is 999" in reading
    (unit,) = said(known(CELSIUS), episodes, every_step=False, every_episode=False)
    assert "in 1 of 4 episodes that were looked at" in unit


def test_machines_that_differ_as_those_of_training_do_are_not_said() -> None:
    rated = RNG.lognormal(0, 1, 2000)  # of a long tail, the same at all steps of a machine
    of_training, new = rated[:1900], rated[1900:]
    assert said(known(np.repeat(of_training, 20)), [np.full(20, x) for x in new]) == []
    assert said(known(np.repeat(of_training, 20), False), [np.full(20, x) for x in np.sort(new)[:-1]]) == []
    warmer = [usual(), usual() + 30.0]
    assert said(known(CELSIUS), warmer) == []


def data(folder: Path, name: str, change: Callable[[Any], Any] = lambda x: x) -> str:
    """Write episodes of which every fifth is changed."""
    draw = np.random.default_rng(3)
    x = draw.uniform(180, 260, (20, 30, 2)).astype(np.float32)
    x[::5, :, 1] = change(x[::5, :, 1])
    np.savez(folder / name, x=x, y=draw.integers(0, 2, (20, 30)))
    return str(folder / name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    trainer = quiet_trainer(1, [], limit_val_batches=0, default_root_dir=folder)
    module = ArrayDataModule(data(folder, "train.npz"), lanes=4)
    trainer.fit(MemUP(module.task), module)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder


WARNING = (
    r"'x\[1\]' is far from its training data in 4 of 20 episodes \(episode 0, 5, 10, \.\.\.\).*from 180.5 to 259.5"
)


def test_predict_names_the_episodes(trained: Path, tmp_path: Path) -> None:
    new = data(tmp_path, "new.npz", fahrenheit)
    module = ArrayDataModule(str(trained / "train.npz"), test=new, lanes=4)
    model = MemUP.load_from_checkpoint(trained / "last.ckpt")
    trainer = quiet_trainer(1, [PredictionWriter()], default_root_dir=tmp_path)
    with pytest.warns(UserWarning, match=WARNING) as caught:
        trainer.predict(model, module, ckpt_path=trained / "last.ckpt", return_predictions=False)
    assert sum("far from its training data" in str(x.message) for x in caught) == 1


def test_run_names_the_episodes(trained: Path, tmp_path: Path) -> None:
    saved = torch.load(trained / "last.ckpt", weights_only=True)
    predictor = Predictor(MemUP.load_from_checkpoint(trained / "last.ckpt"), saved_reading(saved))
    with pytest.warns(UserWarning, match=rf"^{tmp_path}/new.npz: {WARNING}") as caught:
        predictor.run(data(tmp_path, "new.npz", fahrenheit))
    assert sum("far from its training data" in str(x.message) for x in caught) == 1


def test_run_compares_data_that_are_no_table_too() -> None:
    task = TaskSpec({"x": FieldSpec((2,))}, {"x": 0}, ("x",), FieldSpec((), "int64", "token", 2))
    model = MemUP(task, memory=LSTM)
    x = np.random.default_rng(1).uniform(180, 260, (5, 40, 2)).astype(np.float32)
    for part in model.modules():
        if isinstance(part, Standardizer):
            part.fit(x.reshape(-1, 2))
    x[2, :, 0] *= 1000
    with pytest.warns(UserWarning, match=r"^the episodes: 'x\[0\]' is far .* in 1 of 5 episodes \(episode 2\)"):
        Predictor(model).run({"x": x})


@pytest.mark.parametrize("has_range", [True, False])
def test_prices_in_another_unit_are_far_below_by_their_logarithm(has_range: bool) -> None:
    """In spreads, all prices a thousandth as high are nearly the same as low ones of training."""
    draw = np.random.default_rng(2)
    prices = [np.exp(draw.normal(7, 1, 50)) for _ in range(100)]
    learned = known(np.concatenate(prices), has_range)
    assert not said(learned, prices)
    (found,) = said(learned, [x / 1000 for x in prices[:20]])
    assert "at 97% of the steps" in found
    (found,) = said(learned, [*prices[:3], prices[3] / 1000])
    assert "in 1 of 4 episodes (machine m3)" in found
