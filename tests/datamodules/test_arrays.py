"""Users' own arrays: every form in which they may be given means the same, and what is wrong with them is said."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.data.targets import TopK
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
            r"y has class numbers up to 2000000000, of which 2 occur.*y_type=vector",
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
            r"'a' of episode 7 at step 0 .* is empty, which .*; --data\.missing=mask .* fills .*missing=previous.* or drop",
        ),
        (
            {"a": ["cat"] * (STEPS - 1) + [None]},
            r"'a' of episode 4 at step 3 \(row 13\) is empty, .*missing=mask",
        ),
        (
            {"a": [1.0] * (STEPS - 1) + [float("nan")]},
            r"'a' of episode 4 at step 3 \(row 13\) is nan, which is no number; --data\.missing=mask",
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


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=r"own\.npz has no 'z'; it holds 'x', 'y', 'lengths'"):
        _ = module(write_npz(tmp_path), x=["z"]).task
    with pytest.raises(MemUPError, match=r"own\.parquet has no 'label'; it holds 'episode', 'a', 'b', 'y'"):
        _ = module(write_parquet(tmp_path), x=["a"], y="label").task
    with pytest.raises(
        MemUPError, match=r"no 'machine'; it holds .*, 'y'; --data.episode names the column that says .* belongs to$"
    ):
        _ = module(write_parquet(tmp_path), episode="machine").task
    with pytest.raises(MemUPError, match=r"has no 'epsode'; did you mean 'episode'\? It holds .*, 'y'; --data"):
        _ = module(write_parquet(tmp_path), episode="epsode").task
    nothing = write_parquet(tmp_path, fault=STEPWISE)
    parquet.write_table(parquet.read_table(nothing).drop_columns("y"), nothing)
    with pytest.raises(
        MemUPError, match=r"has no 'y'; it holds .*, 'fault'; --data.y names the column of the outcome$"
    ):
        _ = module(nothing).task
    with pytest.raises(MemUPError, match=r"has no 'length'; did you mean 'lengths'\? It holds 'x', 'y', 'lengths'"):
        _ = module(write_npz(tmp_path), x=["length"]).task


@pytest.mark.parametrize(
    ("given", "arrays", "said"),
    [
        (
            {},
            {"obs": X, "label": STEPWISE},
            r"no 'x'; it holds 'obs', 'label', .*; --data.x names the arrays that the memory reads, --data.y names the "
            r"outcome \(such as --data.x '\[obs\]' --data.y label\)$",
        ),
        ({"y": "label"}, {"obs": X, "label": STEPWISE}, r"reads \(such as --data.x '\[obs\]'\)$"),
        ({}, {"obs": X, "y": STEPWISE}, r"reads \(such as --data.x '\[obs\]'\)$"),
        ({}, {"x": X, "label": STEPWISE}, r"no 'y'; .*; --data.y names the outcome \(such as --data.y label\)$"),
        ({"x": ["z"]}, {"obs": X, "y": STEPWISE}, r"no 'z'; it holds 'obs', 'y', 'lengths'$"),
        ({}, {"y": STEPWISE}, r"no 'x'; it holds 'y', 'lengths'$"),
    ],
)
def test_the_options_that_name_the_arrays_of_an_npz_file_are_said(
    given: dict[str, Any], arrays: dict[str, Any], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", **arrays, lengths=LENGTHS)
    with pytest.raises(MemUPError, match=said):
        _ = module(str(tmp_path / "own.npz"), **given).task


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.npz", None, "no such file"),
        ("own.txt", b"x,y", "files of type .txt cannot be read; give one of .npz, .parquet"),
        ("own.csv", b"", "own.csv cannot be read"),
        ("cut.npz", b"PK\x03\x04", "cut.npz cannot be read .*: it is cut short or damaged; write it again"),
        ("table.npz", b"x,y\n1,2\n", "table.npz is no npz file but another kind of file; write it by np.savez"),
        ("array.npz", b"\x93NUMPY\x01\x00", "array.npz is no npz file but a .npy file, which holds one array"),
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
    for name in [x for x in sys.modules if x.startswith("memup_lightning.data.array_files.tables.")]:
        monkeypatch.delitem(sys.modules, name)
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


def test_splits_of_different_shape_are_refused(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    with pytest.raises(MemUPError, match=r"val/own.npz: x has shape \[\] a step, but \[2\] in the training data"):
        _ = module(write_npz(tmp_path), val=write_npz(tmp_path / "val", x=X[:, 0])).task


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
    assert any("y_type=token reads them as classes" in str(x.message) for x in caught) == said


def test_a_negative_number_of_workers_is_refused() -> None:
    with pytest.raises(MemUPError, match="num_workers=-1"):
        module("own.npz", num_workers=-1)


@pytest.mark.parametrize("given", [(np.zeros((4, 3)), np.zeros(4)), {"x": np.zeros((4, 3))}, [1], iter([])], ids=type)
def test_data_in_memory_are_refused_with_what_to_give(given: Any) -> None:
    with pytest.raises(
        MemUPError, match=f"train is a {type(given).__name__}; give the path of a file .* or a function"
    ):
        ArrayDataModule(given)


def test_a_path_object_is_a_path(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((9, 5, 2)), y=np.zeros(9))
    assert ArrayDataModule(tmp_path / "own.npz").label == str(tmp_path / "own.npz")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(9, 5, 1), (9, 5, 4)], ids=str)
def test_classes_in_columns_are_refused_with_the_way_to_number_them(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((9, 5, 2)), y=np.zeros(shape, np.int64))
    with pytest.raises(MemUPError, match=r"y has class numbers of shape .*argmax\(-1\) of one-hot rows"):
        _ = ArrayDataModule(str(tmp_path / "own.npz")).task


def test_a_run_says_how_an_array_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((12, 3)), y=np.arange(12) % 2)  # one series of 12 steps was meant
    with caplog.at_level("INFO"):
        _ = ArrayDataModule(str(tmp_path / "own.npz")).task
    assert "12 episodes of 3 steps; x: a number a step; y: one of 2 classes, at 12 of 36 steps" in caplog.text


def test_one_long_series_is_refused_with_what_to_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((1, 50, 3)), y=np.zeros((1, 50)))
    with pytest.raises(MemUPError, match=r"1 episode cannot be split .*cut a long one into several"):
        _ = ArrayDataModule(str(tmp_path / "own.npz")).task


def test_a_file_that_is_both_for_training_and_validation_is_warned_of(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    np.savez(tmp_path / "a.npz", x=draw.random((8, 6, 2)), y=draw.random((8, 6)))
    data = ArrayDataModule(str(tmp_path / "a.npz"), val=str(tmp_path / "a.npz"))
    with pytest.warns(UserWarning, match="the validation episodes are training episodes too"):
        data.setup("fit")


def test_a_file_that_is_both_for_training_and_test_is_warned_of(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    with pytest.warns(UserWarning, match="is the training file too, so the test measures what was trained on"):
        ArrayDataModule(path, test=path)


def test_a_share_of_the_training_file_is_no_part_of_the_training_episodes(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    draw = np.random.default_rng(1)
    np.savez(tmp_path / "a.npz", x=draw.random((20, 6, 2)), y=draw.random((20, 6)))
    ArrayDataModule(str(tmp_path / "a.npz")).setup("fit")
    assert not [x for x in recwarn if "training episodes too" in str(x.message)]
