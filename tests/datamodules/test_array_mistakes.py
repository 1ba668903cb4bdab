"""What is wrong with users' arrays, tables and functions is said with its place and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.exceptions import MemUPError
from tests.datamodules.own_files import EACH, LENGTHS, STEPS, STEPWISE, X, module, write_npz, write_parquet


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"y": np.where(np.arange(STEPS) == 4, np.nan, 1.0)},
            r"npz: 'y' of episode 1 at step 1 .* is nan, which is not",
        ),
        ({"x": np.where(X[4, 1] == X, np.inf, X)}, r"own.npz: 'x'\[1\] of episode 1 at step 1 \(row 4\) is inf"),
        (
            {"x": np.where(X[4, 1] == X, 1e30, X)},
            r"'x'\[1\] of episode 1 at step 1 .* is 1e\+30, but .* 1e\+12 at most",
        ),
        ({"y": np.where(np.arange(STEPS) == 4, -1e30, 1.0)}, r"'y' of episode 1 at step 1 .* is -1e\+30, but numbers"),
        ({"lengths": [3, 5, 2, 4.7]}, r"the length of episode 3 is 4.7; give a whole number"),
        ({"lengths": [3, 5, 2, np.nan]}, r"the length of episode 3 is nan"),
        ({"lengths": LENGTHS[:, None]}, r"'lengths' has shape \[4, 1\]; give one number of steps for each episode"),
        ({"lengths": np.array(14)}, r"'lengths' has shape \[\]; give one number"),
        (
            {"has_outcome": np.where(np.arange(STEPS) == 4, np.nan, 1.0)},
            r"'has_outcome' of episode 1 at step 1 .* is nan",
        ),
        ({"has_outcome": np.zeros(STEPS)}, r"own.npz: no step has an outcome, so there is nothing to learn"),
        ({"eval_mask": np.full(STEPS, 2)}, r"'eval_mask' of episode 0 at step 0 .* is 2; give true or false"),
        (
            {"y": EACH, "has_outcome": np.ones(STEPS)},
            "has_outcome is true in episode 0 at step 0 .* one outcome for each",
        ),
        ({"x": np.zeros((STEPS, 0))}, r"x has shape \[0\] a step, which holds no number; give at least one column"),
        (
            {"y": np.array([2_000_000_000, 5] * 7)},
            r"y has class numbers up to 2000000000, of which 2 occur.*y_type='vector'",
        ),
        (
            {"y": np.array([2.5, 5] * 7), "y_type": "token"},
            "'y' of episode 0 at step 0 .* is 2.5, which is no class",
        ),
        (
            {"y": np.full(STEPS, "2026-01-01", "M8[s]")},
            r"'y' holds datetime64\[s\], not numbers; give seconds as numbers",
        ),
        (
            {"x": np.zeros((STEPS, 3, 8, 8)), "x_type": "image"},
            r"\[3, 8, 8\], channels first; .*np.moveaxis\(x, -3, -1\)",
        ),
        (
            {"x": np.zeros((STEPS, 8, 8)), "x_type": "image"},
            r"frames of shape \[8, 8\]; give \[height, width, channels\]",
        ),
        ({"has_outcomes": np.ones(STEPS)}, r"has an array 'has_outcomes', which is not read; name it 'has_outcome'"),
        ({"length": LENGTHS}, r"has an array 'length', which is not read; name it 'lengths'"),
        ({"lengths": [3, 0, 11]}, "episode 1 has 0 steps; drop empty episodes"),
        ({"lengths": [3, 5]}, r"'x' has shape \[14, 2\], that is 14 steps, but the episodes have 8 together"),
        ({"y": np.zeros(5)}, "'y' has 5 entries; give one for each of the 14 steps, or one for each of the 4 episodes"),
        ({"y": np.array(["cat"] * STEPS)}, "'y' holds <U3, not numbers; number its categories"),
        ({"y": np.array([{}] * STEPS)}, "'y' holds Python objects; concatenate"),
        ({"has_outcome": np.ones(3, bool)}, r"'has_outcome' has shape \[3\], but the episodes have 14"),
        (
            {"y": np.arange(STEPS) - 1},
            "'y' of episode 0 at step 0 .* is -1, but classes are numbered from 0 on; renumber",
        ),
    ],
)
def test_broken_arrays_are_refused_with_their_place(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    types = {name: given.pop(name) for name in ("x_type", "y_type") if name in given}
    with pytest.raises(MemUPError, match=said):
        _ = module(write_npz(tmp_path, **given), **types).task


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"y": np.full(STEPS, "2026-01-01", "M8[s]")},
            r"'y' holds timestamp\[.*\], not numbers; give seconds as numbers",
        ),
        ({"a": [b"cat"] * STEPS}, r"'a' holds binary, not numbers; .* name in x the columns"),
        (
            {"a": [None] + [1.0] * (STEPS - 1)},
            r"'a' of episode 7 at step 0 .* is empty, .*; train with missing='mask'.* fills .*missing='previous'.* drop",
        ),
        (
            {"a": ["cat"] * (STEPS - 1) + [None]},
            r"'a' of episode 4 at step 3 \(row 13\) is empty; .* 1 gap in 'a'; train with missing='mask'.* reads a gap",
        ),
        (
            {"a": [1.0] * (STEPS - 1) + [float("nan")]},
            r"'a' of episode 4 at step 3 \(row 13\) is nan, which is no number; .* 1 gap in 'a'; train with missing='mask'",
        ),
        ({"a": [1e30] + [1.0] * (STEPS - 1)}, r"'a' of episode 7 at step 0 .* is 1e\+30, but numbers"),
        (
            {"a": [[1.0]] * (STEPS - 1) + [[1.0, 2.0]]},
            r"lists of column 'a' differ in length \(1, and 2 in episode 4 at",
        ),
        (
            {"a": [[1.0, 2.0]] * 3 + [[1.0, None]] * (STEPS - 3)},
            r"'a'\[1\] of episode 3 at step 0 \(row 3\) is empty",
        ),
        (
            {"y": [[1.0, 2.0]] * 3 + [[1.0, None]] * (STEPS - 3)},
            r"'y'\[1\] of episode 3 at step 0 .* make the whole list",
        ),
        ({"y": [None] * STEPS}, "column 'y' is empty in every row; give outcomes"),
        (
            {"y": [None, *STEPWISE[1:]], "has_outcome": [True] * STEPS},
            "'has_outcome' is true, but 'y' is empty",
        ),
        ({"has_outcome": [False] * STEPS}, "no step has an outcome"),
        ({"episode": [1] * 3 + [None] * 11}, "column 'episode' is empty at row 3; name the episode of each row"),
    ],
)
def test_broken_tables_are_refused_with_their_place(columns: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=said):
        _ = module(write_parquet(tmp_path, **columns), x=["a"]).task


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: iter([np.zeros(3)]), "episode 0 is a ndarray; the function must yield tuples"),
        (lambda: iter([(1.0, 1.0)]), "x of episode 0 is one number"),
        (lambda: iter([(np.zeros((3, 2)), 1), (np.zeros((3, 4)), 1)]), r"x has steps of shapes \[2\], \[4\]"),
        (lambda: iter([(np.zeros((3, 2)), 1), (np.zeros((3, 2)), [1, 2, 3])]), "y has steps of shapes"),
        (lambda: iter([]), "there are no episodes"),
        (lambda: iter([([[1.0], [1.0, 2.0]], 1)]), "x of episode 0 is no array: .*; give numbers of one shape"),
        (lambda: iter([(np.zeros((3, 2)), None)]), "'y of episode 0' holds object, not numbers"),
        (lambda: iter([([[1.0]], 1), ([[0.0, np.nan]], 1)]), r"x has steps of shapes \[1\], \[2\]"),
        (lambda: iter([(X[:3], 1.0), (np.full((2, 2), np.nan), 1.0)]), r"'x'\[0\] of episode 1 at step 0 .* is nan"),
        (lambda: iter([(X[:3], 1.0), (X[:3], np.inf)]), "'y' of episode 1 is inf, which is not finite"),
    ],
)
def test_a_function_that_yields_something_else_is_refused(given: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        _ = module(given).task


def test_a_negative_number_of_workers_is_refused() -> None:
    with pytest.raises(MemUPError, match="num_workers=-1"):
        module("own.npz", num_workers=-1)


@pytest.mark.parametrize("given", [(np.zeros((4, 3)), np.zeros(4)), {"x": np.zeros((4, 3))}, [1], iter([])], ids=type)
def test_data_in_memory_are_refused_with_what_to_give(given: Any) -> None:
    with pytest.raises(
        MemUPError, match=f"train is a {type(given).__name__}; give the path of a file .* or a function"
    ):
        ArrayDataModule(given)


@pytest.mark.parametrize("shape", [(9, 5, 1), (9, 5, 4)], ids=str)
def test_classes_in_columns_are_refused_with_the_way_to_number_them(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((9, 5, 2)), y=np.zeros(shape, np.int64))
    with pytest.raises(MemUPError, match=r"y has class numbers of shape .*argmax\(-1\) of one-hot rows"):
        _ = ArrayDataModule(str(tmp_path / "own.npz")).task


def test_one_long_series_is_refused_with_what_to_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((1, 50, 3)), y=np.zeros((1, 50)))
    with pytest.raises(MemUPError, match=r"1 episode cannot be split .*cut a long one into several"):
        _ = ArrayDataModule(str(tmp_path / "own.npz")).task


def test_a_column_that_sorts_is_refused_for_arrays(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=r"time='at' sorts the rows of tables, and .*own\.npz is none; leave it out"):
        _ = module(write_npz(tmp_path), time="at").task


def test_flags_of_text_are_refused_by_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=r"'has_outcome' holds string, not true or false; write booleans, or 1 and 0"):
        _ = module(write_parquet(tmp_path, has_outcome=["yes"] * STEPS)).task


def test_a_local_context_longer_than_all_episodes_is_refused(tmp_path: Path) -> None:
    longest = int(LENGTHS.max())
    module(write_npz(tmp_path), window=longest).setup("fit")
    with pytest.raises(MemUPError, match=f"window={longest + 1}: the longest training episode has {longest} steps"):
        module(write_npz(tmp_path), window=longest + 1).setup("fit")
