"""How inputs that are pointed out can be left out: columns by their names, arrays too, columns of one array by a slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.exceptions import MemUPError
from tests.datamodules.machine_tables import said
from tests.datamodules.own_files import module

rng = np.random.default_rng(1)
SHAPE = (30, 10)
CLASSES = rng.integers(3, size=SHAPE)
NUMBERS = rng.normal(20, 5, SHAPE)


def notes(folder: Path, y: Any, given: dict[str, Any] | None = None, **arrays: Any) -> str:
    np.savez(folder / "own.npz", y=y, **arrays)
    return " ".join(said(lambda: module(str(folder / "own.npz"), **given or {}).task))


def test_a_column_of_one_array_is_left_out_by_a_slice(tmp_path: Path) -> None:
    noise = rng.normal(size=SHAPE)
    copied = notes(tmp_path, NUMBERS, x=np.stack([noise, noise**2, NUMBERS], -1))
    assert "'x[2]' of x is 'y', the outcome, at all 300 steps" in copied
    assert "leave it out of x (np.delete(x, [2], axis=-1) in place of x), or give the value" in copied
    coded = notes(tmp_path, CLASSES, {"x": ["seen"]}, seen=np.stack([noise, 5.0 - CLASSES**2], -1))
    assert "leave it out of x (np.delete(seen, [1], axis=-1) in place of seen), or give" in coded


def test_several_arrays_are_named_and_the_steps_of_one_number_cannot_be_cut(tmp_path: Path) -> None:
    several = notes(tmp_path, CLASSES, {"x": ["a", "b"]}, a=rng.normal(size=SHAPE), b=5.0 - CLASSES**2)
    assert "leave it out of x (x names the arrays that are read), or give the value" in several
    alone = notes(tmp_path, CLASSES, x=5.0 - CLASSES**2)
    assert "leave it out of x, or give the value" in alone


def test_a_column_of_an_array_that_is_always_or_mostly_missing_is_left_out_by_a_slice(tmp_path: Path) -> None:
    x = rng.normal(size=(*SHAPE, 3))
    x[..., 1] = np.nan
    with pytest.raises(
        MemUPError, match=r"'x\[1\]' is missing at every .*; leave it out of x \(np.delete\(x, \[1\], axis=-1\)"
    ):
        notes(tmp_path, CLASSES, {"missing": "mask"}, x=x)
    x[::15, 0, 1] = 1.0
    assert "leave it out of x (np.delete(x, [1], axis=-1)" in notes(tmp_path, CLASSES, {"missing": "mask"}, x=x)
