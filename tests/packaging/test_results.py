"""The numbers of README and of the page of results are those of the JSON files that the benchmarks wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.site import results
from tools.site.page_tables import PAGE_TABLES
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


@pytest.mark.parametrize("page", results.pages_with_tables(), ids=lambda page: page.stem)
def test_the_tables_of_a_page_are_what_the_files_say(page: Path) -> None:
    assert page.read_text() == results.page_with_tables(page), "run: python -m tools.site.results"


def test_every_table_of_a_page_is_on_one_and_has_values() -> None:
    text = "".join(page.read_text() for page in [results.README, *results.pages_with_tables()])
    assert [name for name in PAGE_TABLES if f"tools.site.results {name} -->" not in text] == []
    for name, table in PAGE_TABLES.items():
        found = [row for row in results.rows(table.file) if table.only(row)]
        empty = [head for head, (key, _) in table.columns.items() if all(row.get(key) is None for row in found)]
        assert set(empty) <= {"test", "asked for"}, name  # not every task has these
