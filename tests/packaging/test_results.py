"""The numbers of README and of the page of results are those of the JSON files that the benchmarks wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.site import results
from tools.site.page_tables import PAGE_TABLES
from tools.site.table import Section
from tools.site.tables import SECTIONS


def test_the_page_of_results_is_what_the_files_say() -> None:
    assert results.PAGE.read_text() == results.page(), "run: python -m tools.site.results"


def test_the_table_of_readme_is_what_the_files_say() -> None:
    assert results.readme_table() in results.README.read_text(), "run: python -m tools.site.results"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.table.file)
def test_every_column_of_a_table_has_values(section: Section) -> None:
    table = section.table
    rows = [row for row in results.rows(table.file) if table.only(row)]
    assert rows
    for heading, column in table.columns.items():
        assert any(row.get(column.key) is not None and column.show(row[column.key]) for row in rows), heading


@pytest.mark.parametrize("page", results.pages_with_tables(), ids=lambda page: page.stem)
def test_the_tables_of_a_page_are_what_the_files_say(page: Path) -> None:
    assert page.read_text() == results.page_with_tables(page), "run: python -m tools.site.results"


def test_every_table_of_a_page_is_on_one_and_has_values() -> None:
    text = "".join(page.read_text() for page in [results.README, *results.pages_with_tables()])
    assert [name for name in PAGE_TABLES if f"tools.site.results {name} -->" not in text] == []
    for name, table in PAGE_TABLES.items():
        found = [row for row in results.rows(table.file) if table.only(row)]
        empty = [head for head, x in table.columns.items() if all(row.get(x.key) is None for row in found)]
        assert set(empty) <= {"test", "asked for"}, name  # not every task has these


NO_RESULTS = {
    "0.001": "learning rate",
    "0.002": "learning rate",
    "0.003": "learning rate",
    "0.005": "learning rate; asked for in adding",
    "0.0053": "the paper's adding",
    "0.041": "tolerance of adding",
    "0.125": "chance in copy",
    "0.167": "error of the mean in adding",
    "0.954": "the paper's permuted pixels",
    "0.999": "asked for in copy; probability of a restart",
}
"""Numbers of three decimals and more that prose may have; all others are measured, and belong into a generated table."""
RESULTS = {"accuracy", "seconds", "solved", "updates"}
"""Headings of a table that a command writes."""
PAGES = [results.README, results.ROOT / "CONTRIBUTING.md", *sorted((results.ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if page != results.PAGE], ids=lambda page: page.stem)
def test_no_result_is_typed(page: Path) -> None:
    code = re.compile(r"^ *```.*?^ *```|`[^`]*`", re.DOTALL | re.MULTILINE)
    typed = code.sub("", results.BLOCK.sub("", page.read_text()))
    rows = re.findall(r"^(\|.*)\n\|[-:|]+$", typed, re.MULTILINE)
    heads = {head.strip() for row in rows for head in row.split("|")}
    assert set(re.findall(r"\b\d\.\d{3,}\b", typed)) - set(NO_RESULTS) == set(), "leave the number to a table"
    assert heads & RESULTS == set(), "let python -m tools.site.results write the table (tools/site/page_tables.py)"
