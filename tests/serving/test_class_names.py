"""Prediction.probability finds a class by its name or by the value that the data had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memup_lightning.exceptions import MemUPError
from memup_lightning.serving.prediction import Prediction


def probability(classes: tuple[str, ...], name: Any) -> float:
    shares = np.arange(1, len(classes) + 1) / 10
    return float(Prediction(0, classes, shares, None, None, None).probability(name))


@pytest.mark.parametrize("name", [True, np.True_, "True", "true", 1, np.int64(1), 1.0, "1"])
@pytest.mark.parametrize("classes", [("0", "1"), ("False", "True"), ("false", "true")])
def test_a_boolean_outcome_is_found_by_any_spelling(classes: tuple[str, ...], name: Any) -> None:
    assert probability(classes, name) == 0.2


@pytest.mark.parametrize("name", [False, np.False_, "False", "false", 0, "0"])
def test_so_is_what_is_false(name: Any) -> None:
    assert probability(("0", "1"), name) == 0.1


@pytest.mark.parametrize("name", [2, np.int32(2), 2.0, "2"])
def test_classes_of_integers_are_found_by_number_and_text(name: Any) -> None:
    assert probability(("0", "1", "2"), name) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("classes", "name"), [(("0", "1", "2"), True), (("0", "1"), 1.5), (("no", "yes"), True), (("ok", "worn"), "Ok")]
)
def test_what_is_no_class_is_refused(classes: tuple[str, ...], name: Any) -> None:
    with pytest.raises(MemUPError, match="there is no class"):
        probability(classes, name)


def test_a_class_as_it_is_written_wins_and_what_may_be_several_is_refused() -> None:
    classes = ("True", "true", "unknown")
    assert probability(classes, "true") == 0.2
    assert probability(classes, True) == 0.1
    with pytest.raises(MemUPError, match="could be any of the classes 'True', 'true'"):
        probability(classes, "TRUE")
