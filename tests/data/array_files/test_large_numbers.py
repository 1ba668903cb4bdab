"""Large inputs that are times, or that float32 cannot distinguish, are said by the numbers that are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.array_files.large_numbers import LargeNumbers
from memup_lightning.exceptions import MemUPError
from tests.datamodules import own_files
from tests.datamodules.machine_tables import module, said, write


def notes(values: Any) -> list[str]:
    check = LargeNumbers()
    check.add("a", np.asarray(values))
    return check.notes()


def test_numbers_that_float32_cannot_distinguish_are_said(tmp_path: Path) -> None:
    columns = {"counter": 9e9 + np.arange(6.0), "pressure": 1e5 + np.arange(6.0), "same": [1.7e9] * 6}
    found = {x for x in said(lambda: module(write(tmp_path, **columns, y=[0.5] * 6)).task) if "in float32" in x}
    (message,) = found
    assert (
        "'counter' holds numbers that lie too close together for their size: of 6 different ones 2 are left" in message
    )


@pytest.mark.parametrize("unit", [1, 0.25])
def test_large_numbers_of_which_none_is_lost_are_not_said(unit: float) -> None:
    """As the serial numbers of a csv file are: the spread is small, but float32 holds every whole number below 2^24."""
    serial = 1_000_000 + np.arange(5000) % 10
    assert not notes(serial)
    assert not notes(serial * unit)
    assert notes(serial + np.arange(5000) % 7 / 100)
    assert notes(20 * serial.astype(np.int32) + np.arange(5000) % 7 % 2)


def test_an_odometer_whose_steps_float32_does_not_keep_is_said() -> None:
    """The spread over all machines is large; what differs from row to row is lost."""
    start = np.repeat(np.random.default_rng(0).uniform(1e8, 2e8, 50), 100)
    (note,) = notes(start + 0.5 * np.tile(np.arange(100), 50))
    assert "'a' changes from row to row by less than float32 keeps of numbers of that size: of 4,999 changes" in note
    assert not notes(start + 50 * np.tile(np.arange(100), 50))
    assert not notes(start / 1e5 + 0.5 * np.tile(np.arange(100), 50))


def test_a_large_spread_in_float64_is_not_said() -> None:
    x = np.random.default_rng(0).normal(1000, 1, 30_000)
    assert not notes(x)
    assert not notes(np.stack([x, x], 1))


def test_arrays_and_functions_say_it_too(tmp_path: Path) -> None:
    x = np.stack([own_files.X[:, 0], 9e9 + np.arange(own_files.STEPS)], 1)

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for end, length in zip(own_files.LENGTHS.cumsum(), own_files.LENGTHS, strict=True):
            yield x[end - length : end], own_files.STEPWISE[end - length : end]

    for source in (own_files.write_npz(tmp_path, x=x), pairs):
        found = [x for x in said(lambda source=source: own_files.module(source).task) if "in float32" in x]
        assert found
        assert all("'x[1]' holds numbers that lie too close" in x for x in found)


SECONDS = 1.75e9 + 60 * np.arange(6)


def test_seconds_since_1970_are_said_to_be_times(tmp_path: Path) -> None:
    for at in (SECONDS, SECONDS.astype(np.int64)):
        source = write(tmp_path, at=at, y=[0.5] * 6)
        (found,) = {x for x in said(lambda source=source: module(source).task) if "'at'" in x}
        assert "'at' seems to count seconds from 1970 on (2025-06-15)" in found
        assert "time='at' sorts by it" in found
        assert "pandas.to_datetime(table['at'], unit='s')" in found
        assert not any("'at'" in x for x in said(lambda source=source: module(source, time="at").task))
    source = own_files.write_npz(tmp_path, x=1.75e9 + np.arange(own_files.STEPS))
    assert any("since the step before" in x and "'x' seems" in x for x in said(lambda: own_files.module(source).task))


@pytest.mark.parametrize(("count", "unit"), [(1e3, "ms"), (1e6, "us"), (1e9, "ns")])
def test_finer_times_since_1970_are_refused_by_their_column(tmp_path: Path, count: float, unit: str) -> None:
    source = write(tmp_path, a=[1.0] * 6, at=(SECONDS * count).astype(np.int64), y=[0.5] * 6)
    with pytest.raises(MemUPError, match=rf"'at' of .* from 1970 on \(2025-06-15\).*unit='{unit}'"):
        _ = module(source).task
    assert module(source, time="at").task.fields["x"].names == ("a", "at (seconds since the previous row)")
    with pytest.raises(MemUPError, match=r"'b' of .* magnitude of 1e\+12 at most; scale this column"):
        _ = module(write(tmp_path, b=np.full(6, 10**17), y=[0.5] * 6)).task


def test_other_numbers_of_that_size_are_no_times() -> None:
    rng = np.random.default_rng(0)
    phone = rng.integers(1_000_000_000, 2_400_000_000, 500)
    for values in (
        phone,
        np.repeat(np.sort(phone), 10),
        np.full(500, 1_750_000_000),
        10 * np.arange(300_000_000, 300_000_500),
    ):
        assert not any("1970" in x for x in notes(values))
    check = LargeNumbers()
    check.add("a", 1_750_000_000 + np.arange(100))
    check.add("a", np.arange(100))
    assert not any("1970" in x for x in check.notes())
