"""Checks of settings."""

from __future__ import annotations

import pytest

from memup_lightning.exceptions import MemUPError, check_at_least, user_code


def test_the_first_setting_below_the_minimum_is_named_with_its_value() -> None:
    check_at_least(1, lanes=1, steps=None)
    with pytest.raises(MemUPError, match=r"^steps=0: must be at least 1$"):
        check_at_least(1, lanes=2, steps=0, episodes=-1)


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
