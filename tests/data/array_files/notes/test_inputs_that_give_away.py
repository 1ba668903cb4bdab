"""Inputs that give the outcome of the same step away are said when data are loaded, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datamodules.machine_tables import said
from tests.datamodules.own_files import module

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402 (only where it is installed)

EPISODES, STEPS = 30, 10
ROWS = EPISODES * STEPS
COLOURS = np.array(["red", "green", "blue"], object)
rng = np.random.default_rng(1)
CLASSES = rng.integers(3, size=ROWS)
NUMBERS = rng.normal(20, 5, ROWS)
IN_EPISODES = np.repeat(rng.integers(2, size=EPISODES), STEPS)


def given_away(path: Path, y: Any, **columns: Any) -> list[str]:
    """Return the columns of which it is said that the outcome can be read from them."""
    table = {"episode": np.repeat(np.arange(EPISODES), STEPS), "noise": rng.normal(size=ROWS), "y": y} | columns
    parquet.write_table(pyarrow.table(table), path / "own.parquet")
    found = said(lambda: module(str(path / "own.parquet"), missing="mask").task)
    notes = [x.partition(" 'y', the outcome of the same step, away")[0] for x in found if "same step, away" in x]
    return [name for name in (*columns, "noise") if any(repr(name) in x for x in notes)]


@pytest.mark.parametrize(
    ("y", "copy"),
    [
        (COLOURS[CLASSES], np.array(["c7", "c1", "c9"], object)[CLASSES]),
        (COLOURS[CLASSES], np.array([7.0, 1.0, 9.0])[CLASSES]),
        (CLASSES, np.array(["c7", "c1", "c9"], object)[CLASSES]),
        (CLASSES == 1, np.array(["no", "yes"], object)[(CLASSES == 1).astype(int)]),
        (IN_EPISODES, 5.0 - IN_EPISODES),
        (NUMBERS, NUMBERS * 1.8 + 32),
        (CLASSES / 2, 4.0 - CLASSES**2),
    ],
)
def test_a_copy_of_the_outcome_in_other_codes_or_another_unit_is_said(y: Any, copy: Any, tmp_path: Path) -> None:
    assert given_away(tmp_path, y, copy=copy) == ["copy"]
    wrong = copy.copy()
    row = int(np.flatnonzero(copy != copy[0])[-1])
    wrong[row] = copy[0]
    assert given_away(tmp_path, y, before=np.roll(copy, 1), wrong=wrong) == []


def test_few_or_constant_outcomes_and_codes_of_rows_go_with_an_input_by_chance(tmp_path: Path) -> None:
    row = np.arange(ROWS)
    names = np.array([f"n{n}" for n in rng.permutation(ROWS)], object)
    assert given_away(tmp_path, names, code=row, text=names[::-1]) == []
    once = row == 120
    assert given_away(tmp_path, once, code=once + 3) == []
    at_once = (row >= 100) & (row < 109)  # one event of nine steps
    assert given_away(tmp_path, at_once, code=at_once + 3) == []
    assert given_away(tmp_path, np.zeros(ROWS, int), code=np.full(ROWS, "a", object)) == []
    assert given_away(tmp_path, NUMBERS, code=rng.permutation(NUMBERS)) == []


def test_an_input_that_shows_more_than_the_outcome_gives_it_away_and_one_that_shows_less_does_not(
    tmp_path: Path,
) -> None:
    finer = 3 * CLASSES + rng.integers(3, size=ROWS)
    names = np.array([f"c{code}" for code in range(9)], object)[rng.permutation(9)[finer]]
    coarser = (CLASSES == 1).astype(float)
    found = given_away(tmp_path, COLOURS[CLASSES], finer=finer, names=names, coarser=coarser)
    assert found == ["finer", "names"]


FAULT = np.zeros(ROWS, int)
for begin in range(5, ROWS, 17):
    FAULT[begin : begin + 3] = 1
MEASURED = rng.normal(size=ROWS)
GIVES_AWAY = {
    "codes that are 0 where there is no fault": FAULT * rng.integers(1, 6, ROWS),
    "codes of which some occur once": FAULT * np.where(np.arange(ROWS) % 40 == 22, np.arange(ROWS), 7),
    "names of errors": np.array(["", "E3", "E7"], object)[FAULT * rng.integers(1, 3, ROWS)],
    "a number that is -1 where there is a fault": np.where(FAULT == 1, -1.0, np.abs(MEASURED)),
    "a number that is missing where there is a fault": np.where(FAULT == 1, np.nan, MEASURED),
}


@pytest.mark.parametrize("name", GIVES_AWAY)
def test_an_input_of_more_values_than_the_outcome_may_give_it_away(name: str, tmp_path: Path) -> None:
    copy = GIVES_AWAY[name]
    assert given_away(tmp_path, FAULT, copy=copy) == ["copy"]
    wrong = copy.copy()
    wrong[5] = copy[0]  # one fault without a code
    wrong[0] = copy[5]
    assert given_away(tmp_path, FAULT, wrong=wrong) == []


def test_indicators_of_the_classes_give_the_outcome_away_together(tmp_path: Path) -> None:
    dummies = {f"is_{colour}": np.equal(CLASSES, code).astype(int) for code, colour in enumerate(COLOURS)}
    assert given_away(tmp_path, COLOURS[CLASSES], **dummies) == [*dummies]
    first, second, _ = dummies
    two = {name: np.array(["no", "yes"], object)[dummies[name]] for name in (first, second)}
    assert given_away(tmp_path, COLOURS[CLASSES], **two) == [first, second]  # the third class is neither
    other = {first: two[first], "other": np.roll(two[second], 1)}
    assert given_away(tmp_path, COLOURS[CLASSES], **other) == []
    yes_no = {"fault_yes": FAULT, "fault_no": 1 - FAULT}
    assert given_away(tmp_path, np.array(["fine", "faulty"], object)[FAULT], **yes_no) == [*yes_no]


def test_inputs_that_go_with_the_outcome_by_chance_or_in_part_are_not_accused(tmp_path: Path) -> None:
    row, episode = np.arange(ROWS), np.repeat(np.arange(EPISODES), STEPS)
    on = np.repeat(rng.random(ROWS // 5) < 0.2, 5) | (FAULT == 1)
    legitimate = {
        "row": row,
        "serial": episode + 1000,
        "time": np.tile(np.arange(STEPS), EPISODES),
        "rounded": np.round(MEASURED, 2),
        "speed": np.where(on, MEASURED + 50, 0.0),  # 0 says that there is no fault, and other numbers nothing
        "gear": np.where(on, rng.integers(1, 6, ROWS), 0),
        "many": rng.integers(2000, size=ROWS),
        "site": np.repeat(rng.integers(8, size=EPISODES), STEPS),
    }
    assert given_away(tmp_path, FAULT, **legitimate) == []
    assert given_away(tmp_path, IN_EPISODES, **legitimate) == []
    once = (row >= 100) & (row < 109)
    assert given_away(tmp_path, once, code=np.where(once, rng.integers(1, 4, ROWS), 0)) == []


def test_only_steps_with_an_outcome_count(tmp_path: Path) -> None:
    known = np.arange(ROWS) % STEPS == STEPS - 1
    known[::7] = True
    y = [str(COLOURS[code]) if there else None for code, there in zip(CLASSES, known, strict=True)]
    copy = np.where(known, CLASSES + 4.0, 0.0)
    assert given_away(tmp_path, y, copy=copy) == ["copy"]
