"""Words among the numbers of a column are pointed out where they make categories of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datamodules.machine_tables import module


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["42", "43", "-"], True),
        (["1", "2", "missing"], True),
        ([*map(str, range(15, 30)), "lost"], True),
        (["1", "2", "3", "other"], False),
        (["low", "high", "-"], False),
    ],
)
def test_words_among_the_few_numbers_of_a_column_are_pointed_out(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, values: list[str], said: bool
) -> None:
    file = tmp_path / "own.csv"
    rows = [f"{step // 10},{values[step // 5 % len(values)]},{step % 2}" for step in range(400)]
    file.write_text("\n".join(["machine,speed,y", *rows]))
    _ = module(str(file)).task
    assert any("among numbers, so all of them are read as categories" in str(x.message) for x in recwarn) == said
