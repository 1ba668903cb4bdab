"""A file has one subject and at most 300 lines."""

from __future__ import annotations

import pytest

from tests.command_line import ROOT

MOST = 300
FOLDERS = ("memup_lightning", "callbacks", "datamodules", "benchmarks", "examples", "tools", "tests")


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_is_longer_than_the_house_allows(folder: str) -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert lines
    assert {path: number for path, number in lines.items() if number > MOST} == {}
