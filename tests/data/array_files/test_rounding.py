"""Inputs that float32 cannot distinguish are said, by the numbers that are there and not by their size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.array_files.rounding import RoundingCheck
from tests.datamodules import own_files
from tests.datamodules.machine_tables import module, said, write


def notes(values: Any) -> list[str]:
    check = RoundingCheck()
    check.add("a", np.asarray(values))
    return check.notes()


def test_numbers_that_float32_cannot_distinguish_are_said(tmp_path: Path) -> None:
    columns = {"epoch": 1.7e9 + np.arange(6.0), "pressure": 1e5 + np.arange(6.0), "same": [1.7e9] * 6}
    found = {x for x in said(lambda: module(write(tmp_path, **columns, y=[0.5] * 6)).task) if "in float32" in x}
    (message,) = found
    assert "'epoch' holds numbers that lie too close together for their size: of 6 different ones 1 is left" in message


@pytest.mark.parametrize("unit", [1, 0.25])
def test_large_numbers_of_which_none_is_lost_are_not_said(unit: float) -> None:
    """As the serial numbers of a csv file are: the spread is small, but float32 holds every whole number below 2^24."""
    serial = 1_000_000 + np.arange(5000) % 10
    assert not notes(serial)
    assert not notes(serial * unit)
    assert notes(serial + np.arange(5000) % 7 / 100)
    assert notes(20 * serial.astype(np.int32) + np.arange(5000) % 7 % 2)


def test_a_large_spread_in_float64_is_not_said() -> None:
    x = np.random.default_rng(0).normal(1000, 1, 30_000)
    assert not notes(x)
    assert not notes(np.stack([x, x], 1))


def test_arrays_and_functions_say_it_too(tmp_path: Path) -> None:
    x = np.stack([own_files.X[:, 0], 1.7e9 + np.arange(own_files.STEPS)], 1)

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for end, length in zip(own_files.LENGTHS.cumsum(), own_files.LENGTHS, strict=True):
            yield x[end - length : end], own_files.STEPWISE[end - length : end]

    for source in (own_files.write_npz(tmp_path, x=x), pairs):
        found = [x for x in said(lambda source=source: own_files.module(source).task) if "in float32" in x]
        assert found
        assert all("'x[1]' holds numbers that lie too close" in x for x in found)
