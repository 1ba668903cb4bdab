"""Checks of settings."""

from __future__ import annotations

import pytest

from memup_lightning.exceptions import MemUPError, check_at_least


def test_the_first_setting_below_the_minimum_is_named_with_its_value() -> None:
    check_at_least(1, lanes=1, steps=None)
    with pytest.raises(MemUPError, match=r"^steps=0: must be at least 1$"):
        check_at_least(1, lanes=2, steps=0, episodes=-1)
