"""Checks of settings."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from memup_lightning.exceptions import MemUPError, check_at_least, check_counts, counted, user_code


def test_the_first_setting_below_the_minimum_is_named_with_its_value() -> None:
    check_at_least(1, lanes=1, steps=None)
    with pytest.raises(MemUPError, match=r"^steps=0: must be at least 1$"):
        check_at_least(1, lanes=2, steps=0, episodes=-1)


@pytest.mark.parametrize("value", ["20", True, [20]], ids=str)
def test_a_setting_that_is_no_number_is_named_with_its_value(value: Any) -> None:
    with pytest.raises(MemUPError, match=rf"^share={re.escape(repr(value))}: must be a number$"):
        check_at_least(1, share=value)


@pytest.mark.parametrize("value", ["20", 20.0, True], ids=repr)
def test_a_count_that_is_no_whole_number_is_named_with_its_value(value: Any) -> None:
    check_counts(1, lanes=2, steps=np.int32(3), episodes=None)
    with pytest.raises(MemUPError, match=rf"^steps={value!r}: must be a whole number$"):
        check_counts(1, lanes=2, steps=value)


def test_an_error_of_users_code_is_reported_with_its_place() -> None:
    with (
        pytest.raises(
            MemUPError, match=r"^the call failed: ZeroDivisionError: .* \(test_exceptions.py, line \d+\); it takes"
        ),
        user_code("the call", "it takes numbers"),
    ):
        _ = 1 / 0


def test_an_error_that_says_what_to_do_is_left_as_it_is() -> None:
    with pytest.raises(MemUPError, match=r"^size=0"), user_code("the call", "it takes numbers"):
        check_at_least(1, size=0)


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (1, "class", "1 class"),
        (0, "class", "0 classes"),
        (2000, "step", "2,000 steps"),
        (2, "entry", "2 entries"),
        (3, "array", "3 arrays"),
    ],
)
def test_what_is_counted_is_in_the_plural_unless_it_is_one(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words
