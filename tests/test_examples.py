"""Every example runs as its first lines say, and stays short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.processes import ForkedProcess

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    text = example.read_text()
    assert f"python -m examples.{example.stem}\n" in text
    assert len(text.splitlines()) < 60
    with ForkedProcess([f"examples.{example.stem}"], tmp_path, dict(os.environ)) as process:
        said = process.communicate()
    assert process.returncode == 0, said
    assert said.strip()
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"


def test_the_index_names_every_example() -> None:
    lines = (ROOT / "examples" / "README.md").read_text().splitlines()
    for example in EXAMPLES:
        assert sum(f"({example.name})" in line for line in lines) == 1
