"""Columns of users' tables: what each kind becomes, from the training episodes alone, and what is said of it."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec
from tests.datamodules.machine_tables import NAN, module, said, steps, write

pyarrow = pytest.importorskip("pyarrow")

LAST = [None, None, 0, None, None, 1]


def test_x_is_by_default_every_column_that_is_nothing_else(tmp_path: Path) -> None:
    flags = {"has_outcome": [True] * 6, "eval_mask": [True] * 6, "__index_level_0__": [5] * 6}
    data = module(write(tmp_path, a=[1.5] * 6, on=[True, False] * 3, y=[0.5] * 6, count=[7] * 6, **flags))
    assert data.task.fields == {"x": FieldSpec((3,), names=("a", "on", "count"))}
    assert data.task.inputs == {"x": 0}
    assert steps(data)["x"].tolist() == [[1.5, 1, 7], [1.5, 0, 7]] * 3


def test_the_columns_that_were_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        _ = module(write(tmp_path, a=[1.5] * 6, mode=["run", "idle"] * 3, fault=LAST), y="fault").task
    (message,) = [record.getMessage() for record in caplog.records if "own.parquet" in record.getMessage()]
    assert "2 episodes by 'machine'; x: a, mode (2 classes: idle, run, and one for other values); y: fault" in message


@pytest.mark.parametrize("encoded", [False, True])
def test_text_is_a_token_with_a_class_for_each_value_and_one_for_others(encoded: bool, tmp_path: Path) -> None:
    mode = pyarrow.array(["run", "idle", "run", "purge", "idle", "run"])
    data = module(write(tmp_path, mode=mode.dictionary_encode() if encoded else mode, a=[1.0] * 6, y=[0.5] * 6))
    assert data.task.fields["mode"] == FieldSpec((), "int64", "token", 4, ("idle", "purge", "run"))
    assert data.task.context == ("x", "mode")
    assert steps(data)["mode"].tolist() == [2, 0, 2, 1, 0, 2]


def test_values_of_other_files_count_as_unknown_and_are_named(tmp_path: Path) -> None:
    train = write(tmp_path, mode=["run", "idle", "run"] * 2, y=[0.5] * 6)
    val = write(tmp_path, "val.parquet", mode=["idle", "new", "run"] * 2, y=[0.5] * 6)
    data = module(train, val=val)
    found = said(lambda: data.task)
    assert [x for x in found if "'mode' has values that the training episodes do not have" in x and "'new'" in x]
    assert data.task.fields["mode"].names == ("idle", "run")
    assert steps(data, "val")["mode"].tolist() == [0, 2, 1] * 2


def test_values_of_validation_episodes_alone_are_unknown(tmp_path: Path) -> None:
    numbers = np.repeat(np.arange(10), 2)
    columns = {"machine": numbers, "mode": [f"mode {number}" for number in numbers], "y": np.zeros(20)}
    data = ArrayDataModule(write(tmp_path, **columns), episode="machine", seed=1)
    assert any("'mode' has values that the training episodes do not have" in x for x in said(lambda: data.task))
    assert data.task.fields["mode"].names == tuple(f"mode {key}" for key in data.episode_keys("train"))
    assert steps(data, "train")["mode"].tolist() == np.repeat(np.arange(8), 2).tolist()
    assert steps(data, "val")["mode"].tolist() == steps(data, "test")["mode"].tolist() == [8, 8]


def test_an_id_is_no_input(tmp_path: Path) -> None:
    many = {"machine": np.repeat([f"M{i}" for i in range(30)], 2), "a": np.zeros(60), "y": np.zeros(60)}
    for values in ([f"row {i}" for i in range(60)], np.repeat([f"serial {i}" for i in range(30)], 2)):
        source = write(tmp_path, **many | {"serial": values})
        data = module(source)
        assert any("'serial' has" in x and "as an id has: it is left out of x" in x for x in said(lambda: data.task))  # noqa: B023
        assert list(data.task.fields) == ["x"]
        with pytest.raises(MemUPError, match=r"'serial' has .* as an id has; leave it out of x"):
            _ = module(source, x=["a", "serial"]).task


@pytest.mark.parametrize(("repeats", "pointed_out"), [(4, True), (25, False)])
def test_a_column_of_many_values_with_few_rows_each_is_pointed_out(
    repeats: int, pointed_out: bool, tmp_path: Path
) -> None:
    rows = 600 * repeats
    sku = np.random.default_rng(0).permutation([f"sku {number}" for number in range(600)] * repeats)
    columns = {"machine": np.repeat(np.arange(20), rows // 20), "sku": sku, "y": np.zeros(rows)}
    data = module(write(tmp_path, **columns))
    text = "'sku' has 600 values in 2,400 rows, some 4 rows each"
    assert any(text in x and "leave it out of x, or group it" in x for x in said(lambda: data.task)) == pointed_out
    assert list(data.task.fields) == ["sku"]


def test_times_are_seconds_since_the_row_before(tmp_path: Path) -> None:
    begin = datetime.datetime(2026, 1, 1)
    at = [begin + datetime.timedelta(seconds=second) for second in (0, 1.5, 4, 100, 100, 102)]
    data = module(write(tmp_path, time=at, day=[x.date() for x in at], y=[0.5] * 6))
    names = ("time (seconds since the previous row)", "day (seconds since the previous row)")
    assert data.task.fields["x"].names == names
    assert steps(data)["x"][:, 0].tolist() == [0, 1.5, 2.5, 0, 0, 2]
    assert not steps(data)["x"][:, 1].any()


def test_durations_are_seconds(tmp_path: Path) -> None:
    data = module(write(tmp_path, took=[datetime.timedelta(minutes=2)] * 6, y=[0.5] * 6))
    assert steps(data)["x"].tolist() == [120] * 6


def test_rows_of_an_episode_that_are_apart_are_joined_in_their_order(tmp_path: Path) -> None:
    source = write(tmp_path, machine=["M2", "M1"] * 3, a=np.arange(6.0), y=np.arange(6.0))
    data = module(source)
    assert any("are apart from each other; they are joined by 'machine'" in x for x in said(lambda: data.task))
    assert steps(data)["x"].tolist() == steps(data)[OUTCOME].tolist() == [0, 2, 4, 1, 3, 5]
    assert data.episode_keys("train") == ["M2", "M1"]
    broken = write(tmp_path, machine=["M2", "M1"] * 3, a=[0.0, 1, 2, NAN, 4, 5], y=np.arange(6.0))
    with pytest.raises(MemUPError, match=r"'a' of episode M1 at step 1 \(row 3\) is nan"):
        said(lambda: module(broken).task)


@pytest.mark.parametrize(("single", "pointed_out"), [(3, True), (1, False)])
def test_a_column_that_makes_an_episode_of_nearly_each_row_is_pointed_out(
    single: int, pointed_out: bool, tmp_path: Path
) -> None:
    machine = [*(f"M{number}" for number in range(single)), *["A"] * 2, *["B"] * 2]
    data = module(write(tmp_path, machine=machine, a=np.arange(single + 4.0), y=np.arange(single + 4.0)))
    text = "3 of the 5 episodes by 'machine' have a single row, in which there is nothing to remember"
    assert any(text in x and "name it (episode)" in x for x in said(lambda: data.task)) == pointed_out


def test_a_column_of_times_sorts_the_rows_of_an_episode(tmp_path: Path) -> None:
    source = write(tmp_path, t=[5, 1, 2, 4, 9, 3], a=np.arange(6.0), y=[0.5] * 6)
    assert steps(module(source, time="t"))["x"].tolist() == [[0, 1], [1, 2], [3, 0], [0, 5], [1, 3], [5, 4]]
    with pytest.raises(MemUPError, match="time='machine' holds string; give a column of times"):
        _ = module(source, time="machine").task
    with pytest.raises(MemUPError, match="has no 'at'"):
        _ = module(source, time="at").task


def test_times_that_go_back_are_said(tmp_path: Path) -> None:
    at = [datetime.datetime(2026, 1, 1, hour) for hour in (3, 1, 2, 4, 5, 6)]
    data = module(write(tmp_path, at=at, y=[0.5] * 6))
    assert any("'at' goes back in time within an episode; time='at' sorts" in x for x in said(lambda: data.task))


@pytest.mark.parametrize("gap", [None, NAN])
def test_missing_numbers_are_the_mean_of_the_training_episodes_and_masked(gap: float | None, tmp_path: Path) -> None:
    train = write(tmp_path, a=[1.0, gap, 3.0, 5.0, 1.0, 1.0], b=[1.0] * 6, y=[0.5] * 6)
    test = write(tmp_path, "test.parquet", a=[gap, 8.0, gap, 8.0, 8.0, 8.0], b=[1.0] * 5 + [gap], y=[0.5] * 6)
    data = module(train, test=test, missing="mask")
    found = said(lambda: data.task)
    assert data.task.fields == {
        "x": FieldSpec((2,), names=("a", "b"), means=(2.2, 1.0)),
        "missing": FieldSpec((1,), names=("a",)),
    }
    assert steps(data)["x"][:, 0] == pytest.approx([1, 2.2, 3, 5, 1, 1])
    assert steps(data)["missing"][:, 0].tolist() == [0, 1, 0, 0, 0, 0]
    assert steps(data, "test")["x"][:, 0] == pytest.approx([2.2, 8, 2.2, 8, 8, 8])
    assert steps(data, "test")["missing"][:, 0].tolist() == [1, 0, 1, 0, 0, 0]
    assert any("'b' is missing at 1 step, but at none of the training episodes" in x for x in found)


@pytest.mark.parametrize(
    ("columns", "marks"),
    [("a", "x: a, b, c, where a is missing; y"), ("abc", "x: a, b, c, where a, b and c are missing; y")],
)
def test_the_summary_says_of_which_columns_missing_numbers_are_marked(
    columns: str, marks: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {name: [None if name in columns else 1.0, *map(float, range(5))] for name in "abc"}
    data = module(write(tmp_path, **given, y=[0.5, 1.5] * 3), missing="mask")
    with caplog.at_level("INFO"):
        _ = data.task
    assert any(marks in x for x in caplog.messages)


def test_missing_numbers_may_be_the_previous_one_of_their_episode(tmp_path: Path) -> None:
    columns = {"a": [1.0, None, None, None, 4.0, None], "mode": ["run", None, "idle", None, "run", None]}
    data = module(write(tmp_path, **columns, y=[0.5] * 6), missing="previous")
    assert steps(data)["x"].tolist() == [1, 1, 1, 2.5, 4, 4]
    assert steps(data)["missing"][:, 0].tolist() == [0, 1, 1, 1, 0, 1]
    assert steps(data)["mode"].tolist() == [1, 1, 0, 2, 1, 1]


def test_missing_numbers_of_an_npz_file_are_filled_in_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.array([[1, NAN], [3, 4], [5, 6]]), y=np.zeros(3), lengths=[2, 1])
    data = module(str(tmp_path / "own.npz"), missing="mask", episode="episode")
    assert steps(data)["x"].tolist() == [[1, 5], [3, 4], [5, 6]]
    assert data.task.fields["missing"].names == ("x[1]",)


def test_a_column_that_is_always_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match="'a' is missing at every step of the training episodes; leave it out"):
        _ = module(write(tmp_path, a=[NAN] * 6, y=[0.5] * 6), missing="mask").task
    with pytest.raises(MemUPError, match="'mode' is empty at every step of the training episodes; leave it out"):
        _ = module(write(tmp_path, mode=pyarrow.array([None] * 6, "string"), y=[0.5] * 6), missing="mask").task


def test_text_may_be_the_outcome(tmp_path: Path) -> None:
    data = module(write(tmp_path, a=[1.0] * 6, y=[None, "worn", "good", None, "broken", "good"]))
    assert data.task.outcome == FieldSpec((), "int64", "token", 3, ("broken", "good", "worn"))
    arrays = steps(data)
    assert arrays[HAS_OUTCOME].tolist() == [False, True, True] * 2
    assert arrays[OUTCOME][arrays[HAS_OUTCOME]].tolist() == [2, 1, 0, 1]


def test_outcomes_of_another_file_have_the_numbers_of_training(tmp_path: Path) -> None:
    train = write(tmp_path, a=[1.0] * 6, y=["c", "a", "b"] * 2)
    data = module(train, test=write(tmp_path, "test.parquet", a=[1.0] * 6, y=["c", "b", "c"] * 2))
    assert steps(data, "test")[OUTCOME].tolist() == [2, 1, 2] * 2
    with pytest.raises(MemUPError, match=r"test.parquet: y is 'd' at some steps, which is none of .*\(a, b, c\)"):
        _ = module(train, test=write(tmp_path, "test.parquet", a=[1.0] * 6, y=["d", "b", "c"] * 2)).task
    with pytest.raises(MemUPError, match="y_type=vector, but 'y' holds text"):
        _ = module(train, y_type="vector").task


@pytest.mark.parametrize(("y", "classes"), [([True] * 6, 2), (LAST, 2), ([0, 0, 0, 0, 0, 0], 2)])
def test_an_outcome_of_classes_has_two_at_least(y: Any, classes: int, tmp_path: Path) -> None:
    assert module(write(tmp_path, a=[1.0] * 6, y=y)).task.outcome == FieldSpec((), "int64", "token", classes)


def test_class_numbers_that_gaps_made_floats_are_classes(tmp_path: Path) -> None:
    source = write(tmp_path, a=[1.0] * 6, y=pyarrow.array(LAST, "double"))
    data = module(source)
    assert any(
        "'y' has gaps and holds whole numbers from 0 to 1, which are read as classes" in x
        for x in said(lambda: data.task)
    )
    assert data.task.outcome.classes == 2
    assert module(source, y_type="vector").task.outcome == FieldSpec()


def test_outcomes_that_wait_for_the_last_step_are_said(tmp_path: Path) -> None:
    hint = "'y' has one value at all steps but the last of an episode"
    filled = module(write(tmp_path, a=[1.0] * 6, y=[0, 0, 0, 0, 0, 1]))
    assert any(hint in x and "duplicated(keep='last')" in x for x in said(lambda: filled.task))
    for y in (LAST, [0, 1, 0, 0, 0, 1], [0] * 6):
        data = module(write(tmp_path, a=[1.0] * 6, y=y))
        assert not any(hint in x for x in said(lambda: data.task))  # noqa: B023


def test_times_are_no_class_numbers(tmp_path: Path) -> None:
    source = write(tmp_path, at=[datetime.datetime(2026, 1, 1)] * 6, a=[1] * 6, y=[0.5] * 6)
    with pytest.raises(MemUPError, match="x_type=token, but 'at' holds times"):
        _ = module(source, x_type="token").task
    assert module(source, x_type="token", x=["a"]).task.fields["x"].classes == 2


def test_a_csv_file_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(
        "machine,time,a,mode,y\nM1,2026-01-01 00:00:00,1,run,\n"
        "M1,2026-01-01 00:00:02,2.5,idle,1\nM2,2026-01-01 00:00:00,3,,0\n"
    )
    data = module(str(tmp_path / "own.csv"), missing="mask")
    arrays = steps(data)
    assert data.task.outcome.classes == 2
    assert arrays["x"].tolist() == [[0, 1], [2, 2.5], [0, 3]]
    assert arrays["mode"].tolist() == [1, 0, 2]
    assert arrays[HAS_OUTCOME].tolist() == [False, True, True]


def test_csv_files_of_one_table_have_one_type_a_column(tmp_path: Path) -> None:
    (tmp_path / "part-1.csv").write_text("machine,a,y\nM1,1,0\n")
    (tmp_path / "part-2.csv").write_text("machine,a,y\nM2,1.5,1\n")
    data = module(str(tmp_path / "part-*.csv"))
    assert steps(data)["x"].tolist() == [1, 1.5]
    assert data.episode_keys("test") == ["M1", "M2"]


def test_other_columns_than_in_training_are_refused(tmp_path: Path) -> None:
    train = write(tmp_path, a=[1.0] * 6, b=[1.0] * 6, y=[0.5] * 6)
    val = write(tmp_path, "val.parquet", b=[2.0] * 6, more=[0.0] * 6, a=[1.0] * 6, y=[0.5] * 6)
    assert steps(module(train, val=val), "val")["x"].tolist() == [[1, 2]] * 6
    text = write(tmp_path, "text.parquet", b=["run"] * 6, a=[1.0] * 6, y=[0.5] * 6)
    with pytest.raises(
        MemUPError, match=r"text.parquet: 'b' holds text, but numbers in the training data; give columns"
    ):
        _ = module(train, val=text).task


@pytest.mark.parametrize("word", ["-", "1,234", "?", "#DIV/0!"])
def test_a_word_among_numbers_is_named_and_the_column_is_not_taken_for_an_id(tmp_path: Path, word: str) -> None:
    file = tmp_path / "own.csv"
    rows = [f"{step // 10},{step * 1.5},{step % 2}" for step in range(40)]
    rows[7] = f'0,"{word}",1'
    file.write_text("\n".join(["machine,speed,y", *rows]))
    with pytest.raises(
        MemUPError, match=f"'speed' is read as text, since it holds {re.escape(repr(word))} among numbers"
    ):
        _ = module(str(file)).task
