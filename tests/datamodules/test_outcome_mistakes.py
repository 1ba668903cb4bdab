"""Outcomes that were given by mistake: each is refused, or said, whatever form the data have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.datamodules import ArrayDataModule, GymnasiumDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.datamodules.machine_tables import said
from tests.datamodules.own_files import (
    LENGTHS,
    STEPS,
    STEPWISE,
    X,
    all_steps,
    module,
    write_feather,
    write_npz,
    write_parquet,
    write_stream,
)

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402 (only where it is installed)

TABLES = [write_parquet, write_feather, write_stream]
ONE_HOT = np.eye(3)[np.arange(STEPS) % 3]
Write = Callable[..., str]


@pytest.mark.parametrize("write", [write_npz, *TABLES])
def test_an_outcome_among_the_inputs_is_refused(write: Write, tmp_path: Path) -> None:
    source = write(tmp_path)
    x = "x" if write is write_npz else "a"
    with pytest.raises(
        MemUPError, match=rf"x=\['{x}', 'y'\] names 'y', which is the outcome .*; leave it out of x, or"
    ):
        module(source, x=[x, "y"])
    with pytest.raises(MemUPError, match=r"names 'b', which is the outcome"):
        module(source, x=[x, "b"], y=["y", "b"])


@pytest.mark.parametrize("given", [{"context": ("x", "outcome")}, {"inputs": {"x": 0, "outcome": 0}}])
def test_an_outcome_in_the_context_of_a_task_is_refused(given: dict[str, Any]) -> None:
    fields = {"x": FieldSpec((2,)), "outcome": FieldSpec()}
    with pytest.raises(
        MemUPError, match="the model would read the outcome that it predicts; leave it out of the context"
    ):
        TaskSpec(**{"fields": fields, "inputs": {"x": 0}, "context": ("x",)} | given)
    TaskSpec(fields, {"x": 0, "outcome": 1}, ("x",))


@pytest.mark.parametrize("write", [write_npz, write_parquet])
def test_training_outcomes_that_are_all_equal_are_said_once(write: Write, tmp_path: Path) -> None:
    for y, value in ((np.ones(STEPS), "1.0"), (np.ones(STEPS, np.int64), "class 1")):
        data = module(write(tmp_path, y=y))
        found = said(lambda data=data: data.setup("fit"))
        assert (
            len([x for x in found if f"the outcome is {value} at all 14 steps with an outcome, so there is" in x]) == 1
        )
    assert not any("nothing to learn" in x for x in said(lambda: module(write(tmp_path)).setup("fit")))


def test_a_constant_reward_of_an_environment_is_said() -> None:
    data = GymnasiumDataModule("CartPole-v1", num_train=4, num_val=2, num_test=2, num_envs=2)
    assert any("the episodes of train: the outcome is 1.0 at all " in x for x in said(lambda: data.setup("fit")))


def test_steps_without_an_outcome_do_not_count_as_labels_at_the_ends(tmp_path: Path) -> None:
    exists = np.ones(STEPS, bool)
    exists[LENGTHS.cumsum() - 1] = False
    source = write_npz(tmp_path, y=np.ones(STEPS), has_outcome=exists)
    assert not any("all steps but the last" in x for x in said(lambda: module(source).task))


def one_hot_pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for end, length in zip(LENGTHS.cumsum(), LENGTHS, strict=True):
        yield X[end - length : end], ONE_HOT[end - length : end]


@pytest.mark.parametrize("form", [write_npz, *TABLES, "function", "columns", "episodes", "gaps"])
def test_one_hot_outcomes_are_said_to_be_read_as_numbers(form: Any, tmp_path: Path) -> None:
    advice = r"y\.argmax\(-1\)"
    given: dict[str, Any] = {}
    if form == "function":
        source: Any = one_hot_pairs
    elif form == "columns":
        given["y"] = ["p", "q", "r"]
        source = write_parquet(tmp_path, **dict(zip("pqr", ONE_HOT.T, strict=True)))
    elif form == "episodes":
        source = write_npz(tmp_path, y=ONE_HOT[: len(LENGTHS)])
    elif form == "gaps":
        source = write_npz(tmp_path, y=ONE_HOT * 1.0, has_outcome=np.arange(STEPS) % 2 == 0)
    else:
        source = form(tmp_path, y=ONE_HOT if form is write_npz else list(ONE_HOT))
    if form in (*TABLES, "columns"):
        advice = "give a column of them as y"
    found = [x for x in said(lambda: module(source, **given).task) if "one-hot" in x]
    assert len(found) == 1
    assert re.search(
        f"read as vectors of 3 numbers, .* class numbers would predict one of 3 classes: {advice}", found[0]
    )
    assert not any("one-hot" in x for x in said(lambda: module(source, y_type="vector", **given).task))


@pytest.mark.parametrize("y", [ONE_HOT + ONE_HOT[::-1], ONE_HOT / 2, ONE_HOT[:, :1]])
def test_other_vectors_are_not_taken_for_one_hot(y: np.ndarray, tmp_path: Path) -> None:
    assert not any("one-hot" in x for x in said(lambda: module(write_npz(tmp_path, y=y)).task))


def test_where_an_outcome_is_nan_the_array_that_marks_it_is_said_and_works(tmp_path: Path) -> None:
    y = np.where(np.arange(STEPS) % 3 == 1, np.nan, STEPWISE)
    advice = (
        r"is nan, which is not finite; .* array 'has_outcome' .*: np\.savez\(path, \.\.\., has_outcome=~np\.isnan\(y\)"
    )
    with pytest.raises(MemUPError, match=rf"{advice}\); or fill it in, or drop its episode"):
        _ = module(write_npz(tmp_path, y=y)).task
    with pytest.raises(MemUPError, match=rf"{advice}\.any\(-1\)\)"):
        _ = module(write_npz(tmp_path, y=np.stack([y, y], 1))).task
    arrays = all_steps(module(write_npz(tmp_path, y=y, has_outcome=~np.isnan(y))))
    assert np.array_equal(arrays["has_outcome"], ~np.isnan(y))


def test_the_same_is_said_of_one_outcome_an_episode_and_works(tmp_path: Path) -> None:
    y = np.array([0.5, np.nan, 1.5, 2.5])
    at_ends = (
        r"has_outcome = np.zeros\(sum\(lengths\), bool\), has_outcome\[np.cumsum\(lengths\) - 1\] = ~np.isnan\(y\);"
    )
    with pytest.raises(MemUPError, match=f"of episode 1 is nan, .*{at_ends}"):
        _ = module(write_npz(tmp_path, y=y)).task
    has_outcome = np.zeros(STEPS, bool)
    has_outcome[LENGTHS.cumsum() - 1] = ~np.isnan(y)
    arrays = all_steps(module(write_npz(tmp_path, y=y, has_outcome=has_outcome)))
    assert arrays["outcome"][arrays["has_outcome"]].tolist() == [0.5, 1.5, 2.5]
    np.savez(tmp_path / "equal.npz", x=np.zeros((4, 3, 1)), y=y)
    with pytest.raises(MemUPError, match=r"has_outcome = np.zeros\(x.shape\[:2\], bool\), has_outcome\[:, -1\] = ~np"):
        _ = module(str(tmp_path / "equal.npz")).task


def test_tables_and_functions_say_what_is_done_with_nan(tmp_path: Path) -> None:
    y = np.where(np.arange(STEPS) % 3 == 1, np.nan, STEPWISE)
    for write in TABLES:
        with pytest.raises(MemUPError, match=r"'y' of .* is nan, which is not finite; leave it empty \(null\) where"):
            _ = module(write(tmp_path, y=y)).task
    with pytest.raises(
        MemUPError, match=r"'y' of episode 0 .* is nan, .* drop its episode. Only files mark .* 'has_outcome'"
    ):
        _ = module(lambda: iter([(X[:3], y[:3])])).task


def leak(form: str, path: Path, shifted: bool = False) -> ArrayDataModule:
    """Data whose second input is the outcome under another name, or the outcome of the step before."""
    steps = 40
    y = np.arange(steps) * 7 % 5
    column = np.roll(y, 1) if shifted else y
    x = np.stack([np.arange(steps), column], 1).astype(float)
    if form == "function":
        return module(lambda: iter([(x, y)] * 3), val=None, test=None)
    if form == "npz":
        np.savez(path / "own.npz", x=x, y=y, lengths=[steps // 2] * 2)
        return module(str(path / "own.npz"))
    text = [f"c{value}" for value in y]
    values: Any = np.roll(text, 1) if shifted else text
    table = {"episode": np.repeat([1, 2], steps // 2), "a": x[:, 0]}
    table |= {"b": values, "y": text} if form == "text" else {"b": column, "y": y}
    parquet.write_table(pyarrow.table(table), path / "own.parquet")
    return module(str(path / "own.parquet"))


@pytest.mark.parametrize(
    ("form", "name"), [("function", r"x\[1\]"), ("npz", r"x\[1\]"), ("text", "b"), ("parquet", "b")]
)
def test_an_input_that_is_the_outcome_under_another_name_is_said(form: str, name: str, tmp_path: Path) -> None:
    found = said(lambda: leak(form, tmp_path).task)
    assert [x for x in found if re.search(f"'{name}' of x is 'y', the outcome, at all [0-9]+ steps that have one", x)]
    assert not any("of x is 'y'" in x for x in said(lambda: leak(form, tmp_path, shifted=True).task))


def said_of_numbers(source: str, **given: Any) -> list[str]:
    return [x for x in said(lambda: module(source, **given).task) if "which are read as numbers" in x]


def test_whole_floats_that_may_be_class_numbers_are_said(tmp_path: Path) -> None:
    """Also from 1 on, and any others where pandas made floats of integers, in a column with gaps."""
    for y, shown in ((1.0 + np.arange(STEPS) % 3, "1 to 3"), (np.arange(STEPS) % 2 * 1.0, "0 to 1")):
        for write in (write_npz, write_parquet):
            assert any(
                f"'y' holds whole numbers ({shown}) as float32" in x for x in said_of_numbers(write(tmp_path, y=y))
            )
    zips = np.where(np.arange(STEPS) % 2, 10115.0, 80331.0)
    gaps = pyarrow.array(zips, mask=np.arange(STEPS) == 5)
    assert any("(10115, 80331)" in x for x in said_of_numbers(write_parquet(tmp_path, y=gaps)))
    assert not said_of_numbers(write_parquet(tmp_path, y=gaps), y_type="vector")


@pytest.mark.parametrize("values", [[5.0, -5.0], [10.0, 50.0], [0.5, 1.5], [-1.0, 1.0], list(range(3, 3 + STEPS))])
def test_amounts_are_not_taken_for_class_numbers(values: list[float], tmp_path: Path) -> None:
    y = pyarrow.array(np.resize(np.array(values, float), STEPS), mask=np.arange(STEPS) == 5)
    assert not said_of_numbers(write_parquet(tmp_path, y=y))


def test_class_numbers_that_occur_are_counted_without_the_gaps(tmp_path: Path) -> None:
    y = pyarrow.array(np.where(np.arange(STEPS) % 2, 10115, 80331), mask=np.arange(STEPS) == 5)
    with pytest.raises(
        MemUPError, match=r"up to 80331, of which 2 occur, .*astype\('string'\)\), or .*y_type='vector'"
    ):
        _ = module(write_parquet(tmp_path, y=y)).task


@pytest.mark.parametrize("short", [-1, 1])
@pytest.mark.parametrize("dtype", [float, int])
def test_an_outcome_one_step_short_is_no_vector_of_each_episode(short: int, dtype: Any, tmp_path: Path) -> None:
    x, y = np.zeros((9, 5, 2)), (np.arange(9 * (5 + short)).reshape(9, -1) % 3).astype(dtype)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    lengths = np.arange(4, 13)
    sources: list[Any] = [str(tmp_path / "own.npz"), lambda: zip(x, y, strict=True)]
    sources.append(lambda: ((np.zeros((n, 2)), np.zeros(n + short, dtype)) for n in lengths))
    word = "less" if short < 0 else "more"
    for source in sources:
        with pytest.raises(
            MemUPError, match=rf"'y' holds \d+ numbers for an episode of \d steps, one {word} than there"
        ):
            _ = module(source).task
    for source in sources[:2]:
        assert module(source, y_type="vector").task.outcome.shape == (5 + short,)
    np.savez(tmp_path / "own.npz", x=x, y=np.zeros((9, 3)))
    assert module(str(tmp_path / "own.npz")).task.outcome.shape == (3,)


def test_outcomes_at_the_first_steps_alone_are_said(tmp_path: Path) -> None:
    begins = np.isin(np.arange(STEPS), LENGTHS.cumsum() - LENGTHS)
    for source in (
        write_npz(tmp_path, has_outcome=begins),
        write_parquet(tmp_path, y=pyarrow.array(STEPWISE, mask=~begins)),
    ):
        (found,) = {
            x for x in said(lambda source=source: module(source).task) if "at the first step of an episode" in x
        }
        assert ("in reverse order (time names a column that sorts them)" in found) == source.endswith("parquet")
    begins[1] = True
    source = write_npz(tmp_path, has_outcome=begins)
    assert not any("at the first step" in x for x in said(lambda: module(source).task))
