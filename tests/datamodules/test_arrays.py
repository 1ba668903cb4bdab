"""Users' own arrays: every form in which they may be given means the same."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.specs import FieldSpec
from tests.datamodules.own_files import (
    EACH,
    LAST,
    LENGTHS,
    STEPS,
    STEPWISE,
    Write,
    X,
    all_steps,
    module,
    pairs,
    table,
    write_feather,
    write_npz,
    write_parquet,
    write_stream,
)

pyarrow = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")


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
    assert EVAL_MASK not in data.episodes("train").fields


def test_one_outcome_an_episode_counts_at_its_last_step(tmp_path: Path) -> None:
    def last() -> Iterator[tuple[np.ndarray, int]]:
        for (x, _), y in zip(pairs(), EACH, strict=True):
            yield x, int(y)

    for source in (write_npz(tmp_path, y=EACH), last):
        data = module(source)
        arrays = all_steps(data)
        assert EVAL_MASK in data.episodes("train").fields
        assert np.array_equal(np.flatnonzero(arrays[HAS_OUTCOME]), LAST)
        assert np.array_equal(arrays[EVAL_MASK], arrays[HAS_OUTCOME])
        assert np.array_equal(arrays[OUTCOME][LAST], EACH)


def test_a_step_of_a_table_without_an_outcome_has_none(tmp_path: Path) -> None:
    y = [None if step % 3 else float(step) for step in range(STEPS)]
    arrays = all_steps(module(write_parquet(tmp_path, y=y), x=["a"]))
    assert np.array_equal(arrays[HAS_OUTCOME], np.arange(STEPS) % 3 == 0)
    assert arrays[OUTCOME][::3] == pytest.approx(np.arange(STEPS)[::3])


def test_a_file_may_say_where_outcomes_exist_and_where_they_are_evaluated(tmp_path: Path) -> None:
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
def test_integers_are_classes_and_fractions_numbers_unless_set_otherwise(
    y: np.ndarray, kind: Any, outcome: FieldSpec, tmp_path: Path
) -> None:
    assert module(write_npz(tmp_path, y=y), y_type=kind).task.outcome == outcome


def test_columns_of_numbers_and_of_lists_are_joined(tmp_path: Path) -> None:
    source = write_parquet(tmp_path, b=[[float(step), 1.0] for step in range(STEPS)])
    arrays = all_steps(module(source, x=["b", "a"]))
    assert arrays["x"] == pytest.approx(np.stack([np.arange(STEPS), np.ones(STEPS), X[:, 0]], axis=1))


def test_class_numbers_may_be_read_too(tmp_path: Path) -> None:
    data = module(write_npz(tmp_path, x=np.arange(STEPS) % 5), x_type="token")
    assert data.task.fields["x"] == FieldSpec((), "int64", "token", 5)


def test_a_step_of_a_table_is_left_out_by_a_null_list(tmp_path: Path) -> None:
    for kind in (
        pyarrow.list_(pyarrow.float64()),
        pyarrow.large_list(pyarrow.float32()),
        pyarrow.list_(pyarrow.float64(), 2),
    ):
        y = pyarrow.array([None if step % 3 else [float(step), 0.5] for step in range(STEPS)], kind)
        arrays = all_steps(module(write_parquet(tmp_path, y=y), x=["a"]))
        assert np.array_equal(arrays[HAS_OUTCOME], np.arange(STEPS) % 3 == 0)
        assert np.array_equal(arrays[OUTCOME][::3], [[step, 0.5] for step in range(0, STEPS, 3)])


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (pyarrow.array([True, False] * 7), [1, 0] * 7),
        (pyarrow.array([5, 3] * 7).dictionary_encode(), [5, 3] * 7),
        (pyarrow.array([5, 3] * 7, pyarrow.decimal128(5, 2)), [5, 3] * 7),
        (pyarrow.array([5, 3] * 7, pyarrow.uint64()), [5, 3] * 7),
        (pyarrow.array([[[5.0], [3.0]]] * STEPS), [[[5.0], [3.0]]] * STEPS),
        (pyarrow.array([[5, 3]] * STEPS, pyarrow.large_list(pyarrow.int32())), [[5, 3]] * STEPS),
    ],
    ids=["bool", "categories", "decimal", "uint64", "nested", "large_list"],
)
def test_every_column_of_numbers_can_be_read(values: Any, read: list[Any], tmp_path: Path) -> None:
    assert np.array_equal(all_steps(module(write_parquet(tmp_path, a=values), x=["a"]))["x"], read)


def test_a_table_may_say_where_outcomes_exist_and_where_they_are_evaluated(tmp_path: Path) -> None:
    odd = np.arange(STEPS) % 2 == 1
    arrays = all_steps(module(write_feather(tmp_path, has_outcome=odd, eval_mask=odd.astype(int)), x=["a"]))
    assert np.array_equal(arrays[HAS_OUTCOME], odd)
    assert np.array_equal(arrays[EVAL_MASK], odd)


def test_an_eval_mask_without_a_step_is_warned_of(tmp_path: Path) -> None:
    even = np.arange(STEPS) % 2 == 0
    with pytest.warns(UserWarning, match=r"own.npz: eval_mask is true at no step with an outcome"):
        module(write_npz(tmp_path, has_outcome=even, eval_mask=~even), selector=TopK(num_targets=0)).setup("fit")


def test_files_of_one_table_are_read_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    given = table()
    for part, begin in {2: 0, 10: 4, 11: 9}.items():  # episodes that cross the ends of files
        parquet.write_table(
            given.slice(begin, 5 if part == 10 else STEPS if part == 11 else 4), tmp_path / f"part-{part}.parquet"
        )
    (tmp_path / "_SUCCESS").touch()
    for source in (tmp_path, tmp_path / "part-*.parquet"):
        data = module(str(source), x=["a", "b"])
        assert np.array_equal(data.episodes("train").lengths, LENGTHS)
        assert all_steps(data)["x"] == pytest.approx(X)
    for path in tmp_path.glob("*.parquet"):
        feather.write_feather(parquet.read_table(path), str(path.with_suffix(".feather")))
    assert all_steps(module(str(tmp_path / "*.feather"), x=["a", "b"]))["x"] == pytest.approx(X)


def test_a_folder_partitioned_by_episode_is_a_table(tmp_path: Path) -> None:
    parquet.write_to_dataset(table(), tmp_path, partition_cols=["episode"])
    data = module(str(tmp_path), x=["a", "b"])
    assert data.episodes("train").lengths.tolist() == [5, 4, 3, 2]  # episodes 3, 4, 7 and 9
    assert all_steps(data)["x"][:5] == pytest.approx(X[3:8])


def test_a_class_number_with_an_outcome_that_does_not_exist_is_ignored(tmp_path: Path) -> None:
    y = np.where(np.arange(STEPS) % 2, -100, np.arange(STEPS) % 3)
    data = module(write_npz(tmp_path, y=y, has_outcome=np.arange(STEPS) % 2 == 0))
    assert data.task.outcome.classes == 3


def test_an_array_in_fortran_order_is_read(tmp_path: Path) -> None:
    assert np.array_equal(all_steps(module(write_npz(tmp_path, x=np.asfortranarray(X))))["x"], X.astype(np.float32))


@pytest.mark.parametrize(
    ("y", "given", "said"),
    [
        (EACH.astype(float), {}, True),
        (EACH.astype(float), {"y_type": "vector"}, False),
        (EACH, {}, False),
        (EACH / 4, {}, False),
    ],
)
def test_classes_that_were_made_floats_are_named(y: Any, given: Any, said: bool, tmp_path: Path) -> None:
    source = write_npz(tmp_path, y=y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module(source, **given).episodes("train")
    assert any("y_type='token' reads them as classes" in str(x.message) for x in caught) == said


def test_a_path_object_is_a_path(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((9, 5, 2)), y=np.zeros(9))
    assert ArrayDataModule(tmp_path / "own.npz").label == str(tmp_path / "own.npz")  # type: ignore[arg-type]


def test_a_run_says_how_an_array_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((12, 3)), y=np.arange(12) % 2)  # one series of 12 steps was meant
    with caplog.at_level("INFO"):
        _ = ArrayDataModule(str(tmp_path / "own.npz")).task
    assert "12 episodes of 3 steps; x: a number a step; y: one of 2 classes, at 12 of 36 steps" in caplog.text
