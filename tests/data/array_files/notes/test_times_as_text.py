"""Times that are written as text are pointed out, with what makes times of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from memup_lightning.data.array_files.notes.text_values import written_times
from tests.datamodules.machine_tables import module, said, write

pandas = pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("texts", "days"),
    [
        (["2026-01-31 08:00:00", "2026-02-01 09:30:00"], ["01-31", "02-01"]),
        (["2026-01-31 08:00:00", "2026-02-01"], ["01-31", "02-01"]),
        (["31/01/2026 08:00", "01/02/2026 09:30"], ["01-31", "02-01"]),
        (["01/31/2026 8:00 AM", "02/01/2026 9:30 PM"], ["01-31", "02-01"]),
        (["31.01.2026", "01.02.2026"], ["01-31", "02-01"]),
        (["31.01.2026", "01.02.2026 08:00"], ["01-31", "02-01"]),
        (["2026/01/31", "2026/02/01"], ["01-31", "02-01"]),
        (["31/01/26", "01/02/26"], ["01-31", "02-01"]),
        (["2026-02-01 08:00:00", "31/01/2026 09:30"], ["02-01", "01-31"]),
        (["2026-01-31 08:00:00", "01/31/2026 09:30"], ["01-31", "01-31"]),
    ],
)
def test_the_advice_makes_times(texts: list[str], days: list[str]) -> None:
    found = written_times("at", texts)
    assert found is not None
    table = pandas.DataFrame({"at": texts})
    exec(found.partition("pandas: ")[2].rpartition(" makes")[0])
    assert table["at"].dt.strftime("%m-%d").tolist() == days


@pytest.mark.parametrize("unknown", ["0000-00-00 00:00:00", "0000-00-00", "00/00/0000", "-", "n/a"])
@pytest.mark.parametrize("texts", [["2026-01-31 08:00:00", "2026-02-01 09:30:00"], ["31/01/2026", "01/02/2026"]])
def test_dates_that_are_not_known_leave_the_others_times(texts: list[str], unknown: str) -> None:
    found = written_times("at", [unknown, *texts])
    assert found is not None
    assert f"and {unknown!r} among them" in found
    table = pandas.DataFrame({"at": [unknown, *texts]})
    exec(found.partition("pandas: ")[2].rpartition(" makes")[0])
    assert table["at"].dt.strftime("%m-%d").fillna("").tolist() == ["", "01-31", "02-01"]


@pytest.mark.parametrize(
    "texts", [["1.2.3", "1.25.10"], ["10.25.2", "2026-01-31", "x"], ["A-1", "B-2"], ["12:30"], ["1/2", "3/4"], []]
)
def test_other_texts_are_no_times(texts: list[str]) -> None:
    assert written_times("at", texts) is None


def test_times_of_few_values_are_said_to_be_read_as_categories(tmp_path: Path) -> None:
    source = write(tmp_path, day=["31/01/2026"] * 3 + ["01/02/2026"] * 3, a=[1.5] * 6, y=[0.5] * 6)
    found = [x for x in said(lambda: module(source).task) if "'day'" in x]
    assert "'day' holds times as text (pandas" in found[0]
    assert "each text is read as a category" in found[0]
