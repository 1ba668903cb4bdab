"""Tests of the order of the rows of a table of predictions."""

import csv
from pathlib import Path

import numpy as np
import pytest

from memup_lightning.serving.tables import order
from memup_lightning.serving.tables.order import sort_table
from memup_lightning.serving.tables.writer import TableWriter

pyarrow = pytest.importorskip("pyarrow")


def written(path: Path, keys: list[str]) -> list[int]:
    """Write 40 rows in another order, several at a time, and sort them; the values of their last column."""
    shuffled = np.random.default_rng(0).permutation(40)
    columns = {"row": shuffled, "episode": shuffled // 7, "step": shuffled % 7}
    names = {"machine": [f"é\n\"{x}\", 'a'" for x in shuffled], "value": shuffled}
    table = TableWriter(path)
    for begin in range(0, 40, 7):
        part = slice(begin, begin + 7)
        table.write({name: columns[name][part] for name in keys} | {name: x[part] for name, x in names.items()})
    table.close()
    sort_table(path, table.header)
    if path.suffix == ".parquet":
        found = pyarrow.parquet.read_table(path).to_pylist()
    else:
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
    assert [row["machine"] for row in found] == [f"é\n\"{row['value']}\", 'a'" for row in found]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return [int(row["value"]) for row in found]


@pytest.mark.parametrize("name", ["own.csv", "own.parquet"])
@pytest.mark.parametrize("keys", [["row"], ["episode", "step"], ["episode", "step", "row"]])
def test_rows_are_in_the_order_of_the_data(
    name: str, keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(order, "_BLOCK", 16)
    assert written(tmp_path / name, keys) == list(range(40))


@pytest.mark.parametrize("name", ["own.csv", "own.parquet"])
def test_rows_without_a_place_stay_as_they_are(name: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow.parquet")
    assert written(tmp_path / name, []) == np.random.default_rng(0).permutation(40).tolist()
