"""Tables of two machines with three rows each, as parquet or csv files, and what a datamodule reads and says of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.datamodules import ArrayDataModule

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import csv, parquet  # noqa: E402 (only where it is installed)

EPISODE = ["M1"] * 3 + ["M2"] * 3
NAN = float("nan")


def write(path: Path, name: str = "own.parquet", **columns: Any) -> str:
    table = pyarrow.table({"machine": EPISODE, **columns})
    write_file = csv.write_csv if name.endswith("csv") else parquet.write_table
    write_file(table, path / name)
    return str(path / name)


def folder(path: Path, *files: dict[str, Any]) -> str:
    path.mkdir()
    for number, columns in enumerate(files):
        parquet.write_table(pyarrow.table(columns), path / f"log-{number}.parquet")
    return str(path)


def module(source: str, **given: Any) -> ArrayDataModule:
    """With every episode in the training split."""
    return ArrayDataModule(**{"train": source, "val": source, "test": source, "episode": "machine"} | given)


def steps(data: ArrayDataModule, split: Any = "train") -> dict[str, np.ndarray]:
    source = data.episodes(split)
    parts = [source.read(i, 0, int(length)) for i, length in enumerate(source.lengths)]
    return {name: np.concatenate([part[name] for part in parts]) for name in source.fields}


def said(act: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    return [str(warning.message) for warning in caught]
