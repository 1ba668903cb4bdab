"""The numbers of README and of the page of results are those of the JSON files that the benchmarks wrote."""

from __future__ import annotations

import pytest

from tools.site import results
from tools.site.table import Table
from tools.site.tables import TABLES


def test_the_page_of_results_is_what_the_files_say() -> None:
    assert results.PAGE.read_text() == results.page(), "run: python -m tools.site.results"


def test_the_table_of_readme_is_what_the_files_say() -> None:
    assert results.readme_table() in results.README.read_text(), "run: python -m tools.site.results"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
def test_every_column_of_a_table_has_values(table: Table) -> None:
    rows = [row for row in results.rows(table.file) if table.only(row)]
    assert rows
    for heading, (key, show) in table.columns.items():
        assert any(row.get(key) is not None and show(row[key]) for row in rows), heading


def test_the_page_of_the_zoo_has_the_rows_of_its_file() -> None:
    assert results.ZOO.read_text() == results.zoo(), "run: python -m tools.site.results"
