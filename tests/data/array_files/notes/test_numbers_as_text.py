"""Numbers that are written as text in a table are refused, or pointed out, with what makes numbers of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memup_lightning.exceptions import MemUPError
from tests.datamodules.machine_tables import EPISODE, NAN, folder, module, said


@pytest.mark.parametrize(
    "number", ["{}.25", "{},25", "{},003.5", "{} %", "${}.50", "1'{:03}", "{}.5 K", "{}.5K", "{} K"]
)
def test_numbers_that_are_written_as_text_are_refused_and_whole_ones_are_ids(tmp_path: Path, number: str) -> None:
    machine, a, y = np.repeat([0, 1], 12), [1.5] * 24, [0.5] * 24
    texts = [number.format(n) for n in range(100, 124)]
    source = folder(tmp_path / "logs", {"machine": machine, "a": a, "b": texts, "y": y})
    with pytest.raises(MemUPError, match="'b' is read as text, since its numbers are written as text, such as"):
        _ = module(source).task
    _ = module(source, x=["a"]).task
    letters = [f"{n}{'ABCD'[n % 4]}" for n in range(23)]
    for others in (
        [str(n) for n in range(24)],
        [f"{n}.25.1" for n in range(24)],
        [f"{n}A" for n in range(24)],
        [*letters, "X203"],
        [f"{n:x}" for n in range(2570, 2594)],
    ):
        ids = folder(tmp_path / others[1], {"machine": machine, "a": a, "b": others, "y": y})
        assert any("as an id has: it is left out of x" in x for x in said(lambda ids=ids: module(ids).task))


def test_numbers_as_text_that_are_read_as_categories_or_classes_are_said(tmp_path: Path) -> None:
    columns = {"machine": EPISODE, "a": ["0.5", "1.0", "0.5"] * 2, "y": ["0.25", "0.5", "0.75"] * 2}
    source = folder(tmp_path / "logs", columns)
    found = said(lambda: module(source).task)
    assert any("'a' holds numbers as text, such as '0.5', which are read as categories" in x for x in found)
    assert any("'y' holds numbers as text, such as '0.25', which are read as 3 classes" in x for x in found)
    assert not any("'y' holds numbers" in x for x in said(lambda: module(source, y_type="token").task))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["61,3", "-7,25"], [61.3, -7.25]),
        (["1,003.5", "12.5"], [1003.5, 12.5]),
        (["1.003,5", "12,5", "7"], [1003.5, 12.5, 7]),
        (["1 003,5", "12,5"], [1003.5, 12.5]),
        (["12,500", "1,250"], [12_500, 1250]),
        (["0,500", "1,250"], [0.5, 1.25]),
        (["276.5 K", "12 K"], [276.5, 12]),
        (["3,5 m/s", "12,0 m/s"], [3.5, 12]),
        (["12 %", "3 %"], [12, 3]),
        (["21.5°C", "19.0°C"], [21.5, 19]),
        (["$4.50", "$12.00"], [4.5, 12]),
        (["1.5e-3", "61.25", "2.5", "n/a"], [0.0015, 61.25, 2.5, NAN]),
        (["61,3", "7,5", "8,5", "-"], [61.3, 7.5, 8.5, NAN]),
    ],
    ids=lambda values: str(values[0]),
)
@pytest.mark.parametrize("gap", [False, True])
def test_the_remedy_for_numbers_as_text_makes_the_numbers(
    tmp_path: Path, written: list[str], expected: list[float], gap: bool
) -> None:
    pandas = pytest.importorskip("pandas")
    texts = [*written * 4, *([None] if gap else [])]
    columns = {"machine": [1] * len(texts), "b": texts, "y": [0.5] * len(texts)}
    found = said(lambda: module(folder(tmp_path / "logs", columns), missing="mask").task)
    (note,) = [x for x in found if "'b' holds numbers as text" in x]
    table = pandas.DataFrame(columns)
    exec(note.partition("(pandas: ")[2].removesuffix(")"), {"table": table, "pandas": pandas})
    np.testing.assert_allclose(table["b"], [*expected * 4, *([NAN] if gap else [])])
    assert ("among them" in note) == bool(np.isnan(expected).any())


@pytest.mark.parametrize(
    "values",
    [["floor 1.5", "floor 2.5"], ["1", "2"], ["1.5 K", "2.5 m"], ["high", "low"], ["12A", "13A"], ["1x2", "2x3"]],
)
def test_categories_are_not_taken_for_numbers(tmp_path: Path, values: list[str]) -> None:
    columns = {"machine": EPISODE, "b": values * 3, "y": [0.5] * 6}
    assert not any("numbers as text" in x for x in said(lambda: module(folder(tmp_path / "logs", columns)).task))
