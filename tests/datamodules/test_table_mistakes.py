"""Tables with the mistakes of a hurried user: each is refused, or said, with its place."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.exceptions import MemUPError
from tests.datamodules.machine_tables import EPISODE, folder, module, said, write

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402 (only where it is installed)

TIMES = [datetime.datetime(2026, 1, 31, 8, minute) for minute in range(6)]


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_damaged_file_of_a_folder_is_named(tmp_path: Path, content: bytes | None) -> None:
    columns = {"machine": EPISODE, "a": [1.5] * 6, "y": [0.5] * 6}
    source = folder(tmp_path / "logs", columns, columns)
    file = tmp_path / "logs" / "log-1.parquet"
    file.write_bytes(file.read_bytes()[:-9] if content is None else content)
    with pytest.raises(MemUPError, match=r"log-1\.parquet cannot be read: "):
        _ = module(source).task


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        (
            [1.5] * 6,
            ["1.5"] * 6,
            r"log-1\.parquet: 'a' holds text \(string\), but numbers \(double\) in .*log-0\.parquet",
        ),
        (["on"] * 6, [1] * 6, r"log-1\.parquet: 'a' holds numbers \(int64\), but text \(string\) in .*log-0\.parquet"),
        (TIMES, [1.5] * 6, r"log-1\.parquet: 'a' holds numbers \(double\), but times \(timestamp\[us\]\) in"),
    ],
)
def test_a_file_whose_column_holds_something_else_is_named(
    tmp_path: Path, first: list[Any], second: list[Any], match: str
) -> None:
    files = [{"machine": EPISODE, "a": a, "y": [0.5] * 6} for a in (first, second)]
    with pytest.raises(MemUPError, match=match):
        _ = module(folder(tmp_path / "logs", *files)).task


def test_a_column_may_be_empty_in_any_file(tmp_path: Path) -> None:
    rest = {"machine": EPISODE, "y": [0.5] * 6}
    empty, text = rest | {"a": pyarrow.nulls(6)}, rest | {"a": ["on", "off"] * 3}
    for name, files in (("first", (empty, text)), ("last", (text, empty))):
        data = module(folder(tmp_path / name, *files), missing="mask")
        assert data.task.fields["a"].names == ("off", "on")


def test_a_column_that_only_later_files_have_is_said_to_be_left_out(tmp_path: Path) -> None:
    columns = {"machine": EPISODE, "a": [1.5] * 6, "y": [0.5] * 6}
    source = folder(tmp_path / "logs", columns, columns | {"b": [1.0] * 6})
    found = said(lambda: module(source).task)
    assert any("'b' of " in x and "log-1.parquet is not read" in x for x in found)
    assert not any("'b' of " in x for x in said(lambda: module(source, x=["a"]).task))


def test_times_as_text_are_distinguished_from_ids(tmp_path: Path) -> None:
    text = [f"2026-01-31 08:{minute:02}:00" for minute in range(24)]
    table = {"machine": np.repeat([0, 1], 12), "at": text, "a": [1.5] * 24, "y": [0.5] * 24}
    source = folder(tmp_path / "logs", table)
    with pytest.raises(MemUPError, match=r"'at' holds times as text .*to_datetime.*; or leave it out of x"):
        _ = module(source, x=["at", "a"]).task
    assert any("'at' holds times as text" in x and "left out of x" in x for x in said(lambda: module(source).task))
    with pytest.raises(MemUPError, match=r"time='at' holds .*to_datetime"):
        _ = module(source, time="at").task


def test_a_table_of_ids_alone_says_what_was_left_out(tmp_path: Path) -> None:
    columns = {"machine": np.repeat([0, 1], 12), "b": [f"part {n}" for n in range(24)], "y": [0.5] * 24}
    with pytest.raises(
        MemUPError, match=r"no column that the memory could read; 'b' has 24 values, .*; name the columns"
    ):
        _ = module(folder(tmp_path / "logs", columns)).task


def test_an_episode_of_one_row_is_pointed_out(tmp_path: Path) -> None:
    columns = {"row": list(range(6)), "machine": EPISODE, "a": [1.5] * 6, "y": [0, 1] * 3}
    source = folder(tmp_path / "logs", columns)
    words = "each episode is one step, so there is nothing to remember"
    assert any(words in x for x in said(lambda: module(source, episode="row").setup("fit")))
    assert not any(words in x for x in said(lambda: module(source).setup("fit")))


def test_the_column_of_the_episode_among_the_inputs_is_pointed_out(tmp_path: Path) -> None:
    source = folder(tmp_path / "logs", {"machine": [1] * 3 + [2] * 3, "a": [1.5] * 6, "y": [0, 1] * 3})
    words = "names 'machine', the column that says to which episode a row belongs"
    assert any(words in x for x in said(lambda: module(source, x=["machine", "a"])))
    assert not any(words in x for x in said(lambda: module(source, x=["a"])))


def test_rows_that_are_there_twice_are_said(tmp_path: Path) -> None:
    a, mode = [1.5, float("nan"), 2.5, 3.5, 4.5, 5.5], ["on", "off"] * 3
    once = {"machine": EPISODE, "at": TIMES, "a": a, "mode": mode, "y": [0.5] * 6}
    twice = folder(tmp_path / "twice", once, once)
    found = said(lambda: module(twice, time="at", missing="mask").task)
    assert any("6 rows with all that is in the row before, time ('at') included" in x for x in found)
    assert any(
        "6 rows with all" in x for x in said(lambda: module(twice, time="at", x=["a", "mode"], missing="mask").task)
    )
    for unsorted in ({}, {"x": ["at", "a", "mode"]}):
        found = said(lambda unsorted=unsorted: module(twice, missing="mask", **unsorted).task)
        assert any("6 rows with all that is in another row of the episode, time ('at') included" in x for x in found)
    late = folder(tmp_path / "late", once, once | {"at": [x + datetime.timedelta(hours=1) for x in TIMES]})
    assert not any("rows with all that is" in x for x in said(lambda: module(late, missing="mask").task))
    other = folder(tmp_path / "other", once, once | {"a": [x + 1 for x in a[:1]] + [0.0] * 5})
    assert not any("rows with all that is" in x for x in said(lambda: module(other, time="at", missing="mask").task))


def test_all_columns_with_gaps_are_named_with_what_helps_each(tmp_path: Path) -> None:
    floor, load, force = ["low", None] * 3, [1.5, None] + [float("nan"), 2.5] * 2, [1.5] * 5 + [None]
    rest = {"machine": EPISODE, "code": ["a", "b"] * 3, "y": [0.5] * 6}

    def refused(**columns: Any) -> str:
        with pytest.raises(MemUPError) as error:
            _ = module(folder(tmp_path / "-".join(columns), rest | columns)).task
        return str(error.value)

    text = refused(floor=floor)
    assert (
        "'floor' of episode M1 at step 1 (row 1) is empty; there are 3 gaps in 'floor'; train with missing='mask'"
        in text
    )
    assert "mean" not in text
    assert "number" not in text
    assert "is empty, which is no number; there are 3 gaps in 'load'; train with missing='mask'" in refused(load=load)
    both = refused(floor=floor, load=load, force=force)
    assert "there are 3 gaps in 'floor', 3 in 'load', 1 in 'force'; train with missing='mask'" in both
    assert (
        "fills in the column's mean and adds an input that says where, and reads missing text as a value that is"
        in both
    )


def test_a_column_that_is_nearly_always_empty_is_pointed_out(tmp_path: Path) -> None:
    left = [None] * 5 + [70.5]
    columns = {"machine": np.repeat([0, 1], 12), "a": [1.5] * 24, "left": [None] * 23 + [70.5], "y": [0.5] * 24}
    source = folder(tmp_path / "logs", columns)
    assert any(
        "'left' is an input, and missing at 95.8% of the steps" in x
        for x in said(lambda: module(source, missing="mask").task)
    )
    assert not any("an input" in x for x in said(lambda: module(source, x=["a", "left"], missing="mask").task))
    often = write(tmp_path, a=[1.5] * 6, left=left[:3] + [1.0] * 3, y=[0.5] * 6)
    assert not any("an input" in x for x in said(lambda: module(often, missing="mask").task))


def test_it_is_said_where_outcomes_are_and_how_many_episodes_have_the_rarest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fault = np.full(90, None, object)
    fault[:50] = False
    fault[[7, 8]] = True
    columns = {"machine": np.repeat([0, 1, 2], 30), "a": [1.5] * 90, "fault": list(fault)}
    with caplog.at_level("INFO"):
        _ = module(folder(tmp_path / "logs", columns), y="fault").task
    said = "y: fault (2 classes, at 50 of 90 rows, in 2 of the episodes; the rarest, 1, at 2 rows of 1 episode)"
    assert any(said in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"a": ["1.5"] * 6, "at": TIMES}, "'a' holds text, but numbers in the training data"),
        (
            {"a": [1.5] * 6, "at": [str(time) for time in TIMES]},
            r"'at' holds text, but times in the training data; make times of it .*pandas\.to_datetime\(table\['at'\]\)\)",
        ),
    ],
)
def test_the_column_that_differs_from_training_is_named_alone(tmp_path: Path, columns: Any, match: str) -> None:
    train = write(tmp_path, a=[1.5] * 6, at=TIMES, b=[1.5] * 6, y=[0.5] * 6)
    val = write(tmp_path, "val.parquet", b=[1.5] * 6, y=[0.5] * 6, **columns)
    with pytest.raises(MemUPError, match=f"val.parquet: {match}; give columns"):
        _ = module(train, val=val).task


@pytest.mark.parametrize("name", ["own.parquet", "own.csv"])
def test_times_that_are_the_same_in_all_rows_of_each_episode_are_said(name: str, tmp_path: Path) -> None:
    days = [TIMES[0]] * 3 + [TIMES[3]] * 3
    for at in (days, [1] * 3 + [2] * 3):
        source = write(tmp_path, name, at=at, a=[1.5] * 6, y=[0.5] * 6)
        found = [x for x in said(lambda source=source: module(source, time="at").task) if "same in all rows" in x]
        assert len(found) == 3  # of the three files
        assert all("time='at' is the same in all rows of each episode, so it sorts nothing" in x for x in found)
    source = write(tmp_path, name, at=days, a=[1.5] * 6, y=[0.5] * 6)
    assert any(
        "'at' is the same in all rows of each episode, and its input" in x for x in said(lambda: module(source).task)
    )


def test_times_that_differ_somewhere_are_not_said(tmp_path: Path) -> None:
    source = write(tmp_path, at=[TIMES[1], TIMES[0], TIMES[0], *[TIMES[3]] * 3], a=[1.5] * 6, y=[0.5] * 6)
    for given in ({}, {"time": "at"}):
        assert not any("same in all rows" in x for x in said(lambda given=given: module(source, **given).task))


def test_gaps_of_an_encoded_column_are_counted_too(tmp_path: Path) -> None:
    load = pyarrow.DictionaryArray.from_arrays([0, 1, 0, 1, 0, 0], [1.5, float("nan")])
    table = pyarrow.table({"machine": [0, 0, 0, 1, 1, 1], "load": load, "y": [0.5, 1.0, 0.5, 1.0, 0.5, 1.0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(MemUPError, match="there are 2 gaps in 'load'"):
        _ = module(tmp_path / "a.parquet").task


def test_lists_of_text_are_refused_with_what_makes_numbers_of_them(tmp_path: Path) -> None:
    source = write(tmp_path, tags=[["a", "b"]] * 6, y=[0.5] * 6)
    with pytest.raises(MemUPError, match=r"'tags' holds lists of text, .*str\.join\('\|'\)\.str\.get_dummies\(\)\)"):
        _ = module(source).task
