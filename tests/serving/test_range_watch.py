"""Predictor.step warns of numbers in another unit than in training: once for each of them, and of no others."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning import LSTM, MemUP, Predictor
from memup_lightning.data.array_files.column_checks import SINCE_PREVIOUS
from memup_lightning.models.scaling import Standardizer
from memup_lightning.serving.compiled_step import CompiledStep
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
