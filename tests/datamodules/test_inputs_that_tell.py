"""Inputs from which the outcome of the same step can be read are said when data are loaded, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datamodules.test_arrays import module
from tests.datamodules.test_table_columns import said

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402 (only where it is installed)

EPISODES, STEPS = 30, 10
ROWS = EPISODES * STEPS
COLOURS = np.array(["red", "green", "blue"], object)
rng = np.random.default_rng(1)
CLASSES = rng.integers(3, size=ROWS)
NUMBERS = rng.normal(20, 5, ROWS)
IN_EPISODES = np.repeat(rng.integers(2, size=EPISODES), STEPS)


def told(path: Path, y: Any, **columns: Any) -> list[str]:
    """Return the columns of which it is said that the outcome can be read from them."""
    table = {"episode": np.repeat(np.arange(EPISODES), STEPS), "noise": rng.normal(size=ROWS), "y": y} | columns
    parquet.write_table(pyarrow.table(table), path / "own.parquet")
    found = said(lambda: module(str(path / "own.parquet"), missing="mask").task)
    return [name for name in (*columns, "noise") if any(f"'{name}' of x tells 'y'" in x for x in found)]


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
    assert told(tmp_path, y, copy=copy) == ["copy"]
    wrong = copy.copy()
    row = int(np.flatnonzero(copy != copy[0])[-1])
    wrong[row] = copy[0]
    assert told(tmp_path, y, before=np.roll(copy, 1), wrong=wrong) == []


def test_few_or_constant_outcomes_and_codes_of_rows_go_with_an_input_by_chance(tmp_path: Path) -> None:
    row = np.arange(ROWS)
    names = np.array([f"n{n}" for n in rng.permutation(ROWS)], object)
    assert told(tmp_path, names, code=row, text=names[::-1]) == []
    once = row == 120
    assert told(tmp_path, once, code=once + 3) == []
    at_once = (row >= 100) & (row < 109)  # one event of nine steps
    assert told(tmp_path, at_once, code=at_once + 3) == []
    assert told(tmp_path, np.zeros(ROWS, int), code=np.full(ROWS, "a", object)) == []
    assert told(tmp_path, NUMBERS, code=rng.permutation(NUMBERS)) == []


def test_an_input_that_tells_more_or_less_than_the_outcome_is_not_its_copy(tmp_path: Path) -> None:
    finer = 3 * CLASSES + rng.integers(3, size=ROWS)
    assert told(tmp_path, COLOURS[CLASSES], finer=finer, coarser=(CLASSES == 1).astype(float)) == []


def test_only_steps_with_an_outcome_count(tmp_path: Path) -> None:
    known = np.arange(ROWS) % STEPS == STEPS - 1
    known[::7] = True
    y = [str(COLOURS[code]) if there else None for code, there in zip(CLASSES, known, strict=True)]
    copy = np.where(known, CLASSES + 4.0, 0.0)
    assert told(tmp_path, y, copy=copy) == ["copy"]
