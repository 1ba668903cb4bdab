"""Several columns of a table as one outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.exceptions import MemUPError

pyarrow = pytest.importorskip("pyarrow")
ROWS = 12  # 4 episodes of 3 steps


def table(folder: Path, **columns: Any) -> str:
    from pyarrow import parquet

    path = str(folder / "logs.parquet")
    made = {"episode": np.repeat(np.arange(4), 3), "speed": np.linspace(0.0, 1.0, ROWS)} | columns
    parquet.write_table(pyarrow.table(made), path)
    return path


def read(path: str, y: list[str], **given: Any) -> tuple[ArrayDataModule, Any]:
    data = ArrayDataModule(path, val=path, test=path, y=y, **given)
    data.setup("fit")
    return data, data.sources["train"]


def test_numbers_are_a_vector_and_a_row_without_one_of_them_has_no_outcome(tmp_path: Path) -> None:
    wear = np.arange(ROWS) / 2
    heat: list[float | None] = [*np.arange(ROWS) + 0.25]
    heat[4] = None
    data, source = read(table(tmp_path, wear=wear, heat=heat), ["wear", "heat"])
    assert data.task.outcome.shape == (2,)
    assert data.task.fields["x"].names == ("speed",)
    order = np.arange(len(source))
    rows = source.gather(order, np.zeros_like(order), 3, [OUTCOME, HAS_OUTCOME])
    there = rows[HAS_OUTCOME].ravel()
    assert (there.sum(), len(there)) == (ROWS - 1, ROWS)
    found = {tuple(map(float, row)) for row in rows[OUTCOME].reshape(-1, 2)[there]}
    assert found == {(w, h) for w, h in zip(wear, heat, strict=True) if h is not None}


def test_classes_become_their_combinations(tmp_path: Path) -> None:
    fault, leak = np.arange(ROWS) % 2 == 0, np.array(["none", "oil", "oil"] * 4)
    data, _ = read(table(tmp_path, fault=fault, leak=leak), ["fault", "leak"])
    assert data.task.outcome.type == "token"
    assert set(data.task.outcome.names) == {f"fault={a} & leak={b}" for a in ("true", "false") for b in ("none", "oil")}


def test_integers_are_classes_or_numbers_as_y_type_says(tmp_path: Path) -> None:
    path = table(tmp_path, a=np.arange(ROWS) % 2, b=np.arange(ROWS) % 3)
    assert len(read(path, ["a", "b"])[0].task.outcome.names) == 6
    assert read(path, ["a", "b"], y_type="vector")[0].task.outcome.shape == (2,)


def test_numbers_and_classes_together_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, wear=np.arange(ROWS) / 2, leak=["oil"] * ROWS)
    with pytest.raises(MemUPError, match=r"holds numbers \('wear'\) and classes \('leak'\)"):
        read(path, ["wear", "leak"])


@pytest.mark.parametrize(("y", "message"), [([], "at least one column"), (["a", "a"], "each once")])
def test_no_column_and_one_twice_are_refused(y: list[str], message: str) -> None:
    with pytest.raises(MemUPError, match=message):
        ArrayDataModule("logs.parquet", y=y)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match="has no 'leak'; it holds 'episode', 'speed', 'fault'"):
        read(table(tmp_path, fault=[True] * ROWS), ["fault", "leak"])


def test_several_arrays_of_an_npz_file_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3, 1)), a=np.zeros((4, 3)), b=np.zeros((4, 3)))
    with pytest.raises(MemUPError, match="names several arrays"):
        read(str(tmp_path / "a.npz"), ["a", "b"])
