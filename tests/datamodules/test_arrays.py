"""Users' own arrays: every form in which they may be given means the same, and what is wrong with them is said."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import feather, parquet  # noqa: E402 (only where it is installed)

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


@pytest.mark.parametrize("write", [write_npz, write_parquet, write_feather, write_stream, None])
def test_every_form_gives_the_same_episodes(write: Write | None, tmp_path: Path) -> None:
    source = write(tmp_path) if write else pairs
    data = module(source, x=["x"] if write in (write_npz, None) else ["a", "b"])
    assert np.array_equal(data.episodes("train").lengths, LENGTHS)
    arrays = all_steps(data)
    assert arrays["x"] == pytest.approx(X)
    assert arrays[OUTCOME] == pytest.approx(STEPWISE)
    assert arrays[HAS_OUTCOME].all()
    assert data.task.outcome == FieldSpec()
    assert not data.task.has_eval_mask


def test_one_outcome_an_episode_counts_at_its_last_step(tmp_path: Path) -> None:
    def last() -> Iterator[tuple[np.ndarray, int]]:
        for (x, _), y in zip(pairs(), EACH, strict=True):
            yield x, int(y)

    for source in (write_npz(tmp_path, y=EACH), last):
        data = module(source)
        arrays = all_steps(data)
        assert data.task.has_eval_mask
        assert np.array_equal(np.flatnonzero(arrays[HAS_OUTCOME]), LAST)
        assert np.array_equal(arrays[EVAL_MASK], arrays[HAS_OUTCOME])
        assert np.array_equal(arrays[OUTCOME][LAST], EACH)


def test_a_step_of_a_table_without_an_outcome_has_none(tmp_path: Path) -> None:
    y = [None if step % 3 else float(step) for step in range(STEPS)]
    arrays = all_steps(module(write_parquet(tmp_path, y=y), x=["a"]))
    assert np.array_equal(arrays[HAS_OUTCOME], np.arange(STEPS) % 3 == 0)
    assert arrays[OUTCOME][::3] == pytest.approx(np.arange(STEPS)[::3])


def test_a_file_may_say_where_outcomes_exist_and_where_they_are_judged(tmp_path: Path) -> None:
    odd = np.arange(STEPS) % 2 == 1
    arrays = all_steps(module(write_npz(tmp_path, has_outcome=odd, eval_mask=odd & (np.arange(STEPS) > 5))))
    assert np.array_equal(arrays[HAS_OUTCOME], odd)
    assert np.flatnonzero(arrays[EVAL_MASK]).tolist() == [7, 9, 11, 13]


def test_without_lengths_an_array_is_episodes_of_equal_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "equal.npz", x=X.reshape(7, 2, 2), y=STEPWISE.reshape(7, 2))
    data = module(str(tmp_path / "equal.npz"))
    assert data.episodes("train").lengths.tolist() == [2] * 7
    assert all_steps(data)["x"] == pytest.approx(X)


@pytest.mark.parametrize(
    ("y", "kind", "outcome"),
    [
        (EACH, None, FieldSpec((), "int64", "token", 3)),
        (EACH == 2, None, FieldSpec((), "int64", "token", 2)),
        (EACH.astype(np.float32), None, FieldSpec()),
        (EACH, "vector", FieldSpec()),
        (EACH.astype(np.float64), "token", FieldSpec((), "int64", "token", 3)),
        (np.zeros((STEPS, 3)), None, FieldSpec((3,))),
    ],
)
def test_integers_are_classes_and_fractions_numbers_unless_told_otherwise(
    y: np.ndarray, kind: Any, outcome: FieldSpec, tmp_path: Path
) -> None:
    assert module(write_npz(tmp_path, y=y), y_kind=kind).task.outcome == outcome


def test_columns_of_numbers_and_of_lists_are_joined(tmp_path: Path) -> None:
    source = write_parquet(tmp_path, b=[[float(step), 1.0] for step in range(STEPS)])
    arrays = all_steps(module(source, x=["b", "a"]))
    assert arrays["x"] == pytest.approx(np.stack([np.arange(STEPS), np.ones(STEPS), X[:, 0]], axis=1))


def test_class_numbers_may_be_read_too(tmp_path: Path) -> None:
    data = module(write_npz(tmp_path, x=np.arange(STEPS) % 5), x_kind="token")
    assert data.task.fields["x"] == FieldSpec((), "int64", "token", 5)


def test_splits_by_share_are_fixed_by_the_seed_and_share_no_episode(tmp_path: Path) -> None:
    np.savez(tmp_path / "many.npz", x=np.arange(200).reshape(100, 2, 1), y=np.zeros(100))
    source = str(tmp_path / "many.npz")

    def shown(seed: int) -> list[list[float]]:
        data = ArrayDataModule(source, val_share=0.2, seed=seed)
        splits = [data.episodes(split) for split in ("train", "val", "test")]  # type: ignore[arg-type]
        return [[float(s.read(i, 0, 1)["x"][0, 0]) for i in range(len(s))] for s in splits]

    first = shown(1)
    assert [len(part) for part in first] == [70, 20, 10]
    assert sorted(itertools.chain(*first)) == list(range(0, 200, 2))
    assert shown(1) == first
    assert shown(2) != first


def test_a_file_of_its_own_takes_nothing_from_training(tmp_path: Path) -> None:
    source = write_npz(tmp_path)
    data = ArrayDataModule(source, val=source, test_share=0.25)
    assert [len(data.episodes(split)) for split in ("train", "val", "test")] == [3, 4, 1]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"y": np.where(np.arange(STEPS) == 4, np.nan, 1.0)}, r"own.npz: the outcome of episode 1 at step 1 is nan"),
        ({"x": np.where(X[4] == X, np.inf, X)}, r"own.npz: x of episode 1 at step 1 is \[inf inf\]"),
        ({"lengths": [3, 0, 11]}, "episode 1 has 0 steps; drop empty episodes"),
        ({"lengths": [3, 5]}, "'x' has 14 steps, but the episodes have 8 together"),
        ({"y": np.zeros(5)}, "y has 5 entries; give one for each of the 14 steps, or one for each of the 4 episodes"),
        ({"y": np.array(["cat"] * STEPS)}, "'y' holds <U3; give numbers"),
        ({"y": np.array([{}] * STEPS)}, "holds arrays of Python objects"),
        ({"has_outcome": np.ones(3, bool)}, "'has_outcome' has 3 steps, but the episodes have 14"),
        ({"y": np.arange(STEPS) - 1}, "'outcome' is -1 at step 0 of all"),
    ],
)
def test_broken_arrays_are_refused_with_their_place(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=said):
        _ = module(write_npz(tmp_path, **given)).task


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": ["cat"] * STEPS}, "column 'a' holds string; give numbers"),
        ({"a": [None] + [1.0] * (STEPS - 1)}, "column 'a' is empty at row 0; only 'y' may be"),
        ({"a": [[1.0]] * (STEPS - 1) + [[1.0, 2.0]]}, "the lists of column 'a' differ in length"),
        ({"episode": [1] * 3 + [2] * 9 + [1] * 2}, "episode 1 goes on at row 12, behind another one; sort the table"),
    ],
)
def test_broken_tables_are_refused_with_their_place(columns: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=said):
        _ = module(write_parquet(tmp_path, **columns), x=["a"]).task


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=r"own\.npz has no 'z'; it holds 'x', 'y', 'lengths'"):
        _ = module(write_npz(tmp_path), x=["z"]).task
    with pytest.raises(MemUPError, match=r"own\.parquet has no 'label'; it holds 'episode', 'a', 'b', 'y'"):
        _ = module(write_parquet(tmp_path), x=["a"], y="label").task


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.npz", None, "no such file"),
        ("own.csv", b"x,y", "a file of kind .csv cannot be read; give one of .npz, .parquet"),
        ("cut.npz", b"PK\x03\x04", "cut.npz cannot be read"),
        ("cut.parquet", b"PAR1", "cut.parquet cannot be read"),
        ("cut.arrow", b"ARROW1", "cut.arrow cannot be read"),
    ],
)
def test_what_is_no_file_of_episodes_is_refused(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MemUPError, match=said):
        _ = module(str(tmp_path / name)).task


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_parquet(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MemUPError, match=r"memup-lightning\[arrow\]"):
        _ = module(source).task


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: iter([np.zeros(3)]), "episode 0 is a ndarray; the function must yield tuples"),
        (lambda: iter([(1.0, 1.0)]), "x of episode 0 is one number"),
        (lambda: iter([(np.zeros((3, 2)), 1), (np.zeros((3, 4)), 1)]), r"x has steps of shapes \[2\], \[4\]"),
        (lambda: iter([(np.zeros((3, 2)), 1), (np.zeros((3, 2)), [1, 2, 3])]), "y has steps of shapes"),
        (lambda: iter([]), "there are no episodes"),
    ],
)
def test_a_function_that_yields_something_else_is_refused(given: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        _ = module(given).task


def test_splits_of_different_shape_are_refused(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    with pytest.raises(MemUPError, match=r"x has shape \[2\] a step in train, but \[\] in val"):
        _ = module(write_npz(tmp_path), val=write_npz(tmp_path / "val", x=X[:, 0])).task
