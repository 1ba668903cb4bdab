"""Numbers that stand for something else are pointed out, and numbers that only look so are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memup_lightning.data.array_files.layout import TextColumn, UserEpisodes
from memup_lightning.data.array_files.notes.numbers import number_notes

EPISODES, STEPS = 40, 25
ROWS = EPISODES * STEPS
RNG = np.random.default_rng(0)
RATE = RNG.integers(40, 180, ROWS).astype(float)
SELDOM = RNG.random(ROWS) < 0.05


def notes(column: Any, y: Any = None, order: Any = None, texts: Any = None) -> list[str]:
    x = np.asarray(column, np.float32).reshape(ROWS, -1)
    names = tuple("abcdefgh"[: x.shape[1]])
    y = RNG.normal(size=ROWS) if y is None else y
    user = UserEpisodes(x, np.asarray(y, np.float32), np.full(EPISODES, STEPS), {}, columns=(*names, *(texts or {})))
    user.x_names, user.texts, user.order = names, texts or {}, order
    return list(number_notes(user, "risk"))


@pytest.mark.parametrize("code", [-999, -99, 9999, 999, -9999, -32768, 65535, 2**31])
def test_a_code_of_missing_numbers_is_said(code: float) -> None:
    (found,) = notes(np.where(SELDOM, code, RATE))
    assert f"'a' is {code} at {SELDOM.mean():.1%} of the steps, and from 40 to 179 at all others" in found
    assert "set missing='mask' (pandas: table['a'] = table['a'].replace(" in found


def test_two_codes_and_gaps_are_said_together_and_outcomes_too() -> None:
    column = np.where(SELDOM, -999, np.where(np.roll(SELDOM, 3), 9999, np.where(np.roll(SELDOM, 9), np.nan, RATE)))
    (found,) = notes(column)
    assert "'a' is -999 or 9999 at" in found
    assert ".replace([-999, 9999], float('nan'))" in found
    (found,) = notes(RATE, y=np.where(SELDOM, -999, RATE))
    assert "'risk' is -999 at" in found
    assert "where it says that there is no outcome, leave y empty" in found


@pytest.mark.parametrize(
    "column",
    [
        np.where(np.arange(ROWS) == 5, 9999, RATE),  # once
        np.where(SELDOM, 999, RNG.integers(0, 900, ROWS)),  # others come near
        np.where(SELDOM, 5000, RATE),  # a payment
        np.where(SELDOM, 99, 0),  # a flag
        np.minimum(RNG.lognormal(3, 3, ROWS), 9999),  # cut off
        np.minimum(RNG.pareto(0.5, ROWS).round(), 9999),
        np.arange(ROWS) % 20 + 980,  # a counter until 999
        np.where(SELDOM, -1, RATE),
        np.where(SELDOM, 0.99, RATE / 1000),
        np.round(RATE),
    ],
)
def test_other_numbers_are_no_codes(column: Any) -> None:
    assert not notes(column)


def test_a_number_of_the_row_is_said_also_where_rows_were_sorted() -> None:
    assert "'a' rises from row to row over the whole file" in notes(np.arange(ROWS))[0]
    gaps = np.arange(ROWS) + 7 * (np.arange(ROWS) // STEPS)
    assert "'a' rises from row to row" in notes(100 + gaps)[0]
    order = np.arange(ROWS).reshape(STEPS, EPISODES).T.ravel()  # the file is sorted by time
    assert "'a' rises from row to row" in notes(order, order=order)[0]
    assert not notes(np.arange(ROWS), order=order)


def test_a_number_of_the_episode_is_said() -> None:
    for own in (np.arange(EPISODES), 7 + RNG.permutation(EPISODES), np.arange(EPISODES) * 3 // 2):
        (found,) = notes(np.repeat(own, STEPS))
        assert "'a' is another whole number in each episode" in found


@pytest.mark.parametrize(
    "column",
    [
        np.arange(ROWS) % STEPS,  # the step of the episode
        np.cumsum(RNG.integers(1, 9, ROWS)),  # a counter
        np.cumsum(RNG.random(ROWS)),
        np.repeat(np.arange(EPISODES) // 2, STEPS),  # what two episodes share
        np.repeat(RNG.choice(10_000, EPISODES, replace=False), STEPS),  # an income
        np.repeat(RNG.normal(size=EPISODES), STEPS),
        np.where(SELDOM, np.nan, np.arange(ROWS)),
    ],
)
def test_other_rising_numbers_do_not_number_rows(column: Any) -> None:
    assert not notes(column)


def test_columns_that_are_always_the_same_are_said_once() -> None:
    text = {
        "unit": TextColumn(np.zeros(ROWS, np.int64), ["mm"]),
        "mode": TextColumn(np.arange(ROWS) % 2, ["on", "off"]),
    }
    (found,) = notes(np.stack([RATE, np.ones(ROWS), np.where(SELDOM, np.nan, 1)], 1), texts=text)
    assert found.startswith("'b', 'unit' of x are the same at all steps, and say nothing; leave them out of x")
