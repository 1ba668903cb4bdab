"""Predictor.step warns of numbers in another unit than in training: once for each of them, and of no others."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning import LSTM, MemUP, Predictor
from memup_lightning.data.array_files.column_checks import SINCE_PREVIOUS
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.models.scaling import Standardizer
from memup_lightning.serving.step.compiled import CompiledStep
from memup_lightning.specs import FieldSpec, TaskSpec

NAMES = ("speed", "force", f"at{SINCE_PREVIOUS}")
SPREADS = np.array([10.0, 2.0, 5.0])
CENTERS = np.array([100.0, 0.0, 60.0])


@pytest.fixture(params=["compiled", "plain"])
def predictor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    if request.param == "plain":
        monkeypatch.setattr(CompiledStep, "can_trace", staticmethod(lambda step: False))
    fields = {"x": FieldSpec((3,), names=NAMES)}
    torch.manual_seed(1)
    outcome = FieldSpec((), "int64", "token", 2)
    model = MemUP(TaskSpec(fields, {"x": 0}, ("x",), outcome), memory=lambda size: LSTM(size, hidden_size=4))
    values = np.random.default_rng(1).normal(CENTERS, SPREADS, (5000, 3))
    for part in model.modules():
        if isinstance(part, Standardizer):
            part.fit(values)
    return Predictor(model)


def said(predictor: Predictor, *rows: Any, streams: int | None = None) -> list[str]:
    """Return what is warned of while rows are stepped."""
    state = predictor.initial_state(streams)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for row in rows:
            _, state = predictor.step({"x": np.array(row, np.float32)}, state)
    return [str(x.message) for x in caught if "far from its training data" in str(x.message)]


USUAL = (105.0, -1.0, 62.0)


def test_a_single_number_in_another_unit_is_said_once(predictor: Predictor) -> None:
    found = said(predictor, USUAL, (105_000.0, -1.0, 62.0), USUAL, (105_000.0, -1.0, 62.0), *[USUAL] * 3)
    assert len(found) == 1
    assert "'speed' is far from its training data: it is 1.05e+05, in training it was 1" in found[0]
    assert "is it in the same unit?" in found[0]
    assert len(said(predictor, (105_000.0, 400.0, 62.0))) == 1  # force, too


def test_numbers_that_are_somewhat_far_are_said_at_the_third_step_in_a_row(predictor: Predictor) -> None:
    colder = (28.0, -1.0, 62.0)
    assert said(predictor, colder, colder, USUAL, colder, colder, USUAL) == []
    assert len(said(predictor, colder, colder, colder, colder)) == 1


def test_usual_numbers_and_one_long_gap_in_time_are_not_said(predictor: Predictor) -> None:
    rng = np.random.default_rng(2)
    assert said(predictor, *rng.normal(CENTERS, SPREADS, (50, 3)), (100.0, 0.0, 80_000.0), USUAL) == []


def test_of_several_streams_most_must_be_somewhat_far_and_one_very_far(predictor: Predictor) -> None:
    one = [USUAL, USUAL, (28.0, -1.0, 62.0)]
    assert said(predictor, *[one] * 4, streams=3) == []
    two = [USUAL, (28.0, -1.0, 62.0), (28.0, -1.0, 62.0)]
    assert len(said(predictor, *[two] * 4, streams=3)) == 1
    assert len(said(predictor, [USUAL, USUAL, (105.0, 400.0, 62.0)], streams=3)) == 1


def test_the_warning_points_at_the_line_of_the_step(predictor: Predictor) -> None:
    with pytest.warns(UserWarning, match="far from its training data") as caught:
        predictor.step({"x": np.array((105_000.0, -1.0, 62.0), np.float32)}, predictor.initial_state())
    assert [x.filename for x in caught] == [__file__]


def predictor_of(heat: Any, known: bool = True) -> Predictor:
    """A predictor of a table with a column, trained on these numbers."""
    fields = {"x": FieldSpec((), names=("heat",))}
    model = MemUP(TaskSpec(fields, {"x": 0}, ("x",), FieldSpec((), "int64", "token", 2)), memory=LSTM)
    for part in model.modules():
        if isinstance(part, Standardizer):
            part.fit(heat[:, None])
    reading = {"x": ["heat"], "episode": "unit", "time": None, "x_type": "vector", "missing": None}
    return Predictor(model, reading | {"range": [[heat.min()], [heat.max()]]} if known else reading)


def heat_said(predictor: Predictor, values: list[float], run: bool = False) -> list[str]:
    state = predictor.initial_state()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if run:
            predictor.run({"heat": values, "unit": ["a"] * len(values)})
        for value in [] if run else values:
            _, state = predictor.step({"heat": value}, state)
    return [str(x.message) for x in caught if "far from its training data" in str(x.message)]


@pytest.mark.parametrize("run", [False, True])
def test_a_single_reading_far_outside_of_the_range_of_training_is_said_at_once(run: bool) -> None:
    predictor = predictor_of(np.random.default_rng(1).uniform(180, 260, 5000))
    found = heat_said(predictor, [*[200.0] * 20, 446.0, *[200.0] * 20, 446.0], run)
    assert len(found) == 1
    assert "446" in found[0]
    assert "from 180 to 260" in found[0]
    assert heat_said(predictor, [*[200.0] * 20, 285.0, 200.0], run) == []
    assert len(heat_said(predictor_of(np.linspace(180, 260, 500)), [446.0], run)) == 1  # a single row


@pytest.mark.parametrize("run", [False, True])
def test_numbers_of_long_tails_are_not_said_within_the_range_of_training(run: bool) -> None:
    heat = np.random.default_rng(1).lognormal(0, 1, 20_000)
    values = [1.0, 1.0, float(heat.max()) * 1.2, 1.0, 1.0]
    assert heat_said(predictor_of(heat), values, run) == []
    assert len(heat_said(predictor_of(heat, known=False), values)) == 1  # beyond 20 spreads


@pytest.mark.parametrize("known", [True, False])
def test_numbers_that_are_read_by_their_logarithm_are_far_below_by_it(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.05 is half a spread below prices of 10 to 100,000, as 50 is, and a thousandth of the lowest."""
    prices = np.random.default_rng(1).lognormal(np.log(1000), 1, 20_000)
    for traced in (True, False):
        monkeypatch.setattr(CompiledStep, "can_trace", staticmethod(lambda step, traced=traced: traced))
        assert heat_said(predictor_of(prices, known), [900.0, 80.0, 4000.0, 25.0]) == []
        (found,) = heat_said(predictor_of(prices, known), [900.0, 0.05, 0.05, 0.05])
        assert "'heat' is far from its training data: it is 0.05, in training it was" in found


def test_a_table_gives_the_range_of_its_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.arange(80.0).reshape(40, 2), y=np.arange(40) % 2, lengths=[10] * 4)
    data = ArrayDataModule(str(tmp_path / "own.npz"), val_share=0.25, test_share=0.25)
    assert data.reading["range"] is None  # not read yet
    _ = data.task
    assert data.reading["range"] == [[0.0, 1.0], [78.0, 79.0]]
