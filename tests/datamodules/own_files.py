"""The same four episodes as npz, parquet, feather and Arrow files, and what a datamodule reads of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.datamodules import ArrayDataModule

pyarrow = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")

LENGTHS = np.array([3, 5, 2, 4])
STEPS = int(LENGTHS.sum())
X = np.arange(2 * STEPS, dtype=np.float64).reshape(STEPS, 2) / 10
LAST = np.cumsum(LENGTHS) - 1
EACH = np.array([2, 0, 1, 2])  # a class for each episode
STEPWISE = np.arange(STEPS) / 4  # a number for each step

Write = Callable[..., str]


def table(**columns: Any) -> Any:
    given = {"episode": np.repeat([7, 3, 9, 4], LENGTHS), "a": X[:, 0], "b": X[:, 1], "y": STEPWISE}
    return pyarrow.table(given | columns)


def write_npz(path: Path, **given: Any) -> str:
    np.savez(path / "own.npz", **{"x": X, "y": STEPWISE, "lengths": LENGTHS} | given)
    return str(path / "own.npz")


def write_parquet(path: Path, **columns: Any) -> str:
    parquet.write_table(table(**columns), path / "own.parquet")
    return str(path / "own.parquet")


def write_feather(path: Path, **columns: Any) -> str:
    feather.write_feather(table(**columns), str(path / "own.feather"))
    return str(path / "own.feather")


def write_stream(path: Path, **columns: Any) -> str:
    given = table(**columns)
    with pyarrow.OSFile(str(path / "own.arrow"), "wb") as file, pyarrow.ipc.new_stream(file, given.schema) as writer:
        writer.write_table(given)
    return str(path / "own.arrow")


def module(source: Any, **given: Any) -> ArrayDataModule:
    """With every episode in the training split."""
    return ArrayDataModule(**{"train": source, "val": source, "test": source, "seed": 1} | given)


def all_steps(data: ArrayDataModule) -> dict[str, np.ndarray]:
    source = data.episodes("train")
    parts = [source.read(i, 0, int(length)) for i, length in enumerate(source.lengths)]
    return {name: np.concatenate([part[name] for part in parts]) for name in source.fields}


def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for end, length in zip(np.cumsum(LENGTHS), LENGTHS, strict=True):
        yield X[end - length : end], STEPWISE[end - length : end]
