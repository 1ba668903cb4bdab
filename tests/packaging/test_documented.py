"""What is added to the package is found by its readers: a page for each core and task, a mention of each config."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memup_lightning.models import memory
from tests.command_line import ROOT
from tools.site import reference

CORES = [
    name for name in memory.__all__ if isinstance(x := getattr(memory, name), type) and issubclass(x, memory.Memory)
]
ON_OTHER_PAGES = {"DiagonalMemory", "Memory", "RNNAdapter"}  # docs/method/baselines.md, docs/start/your-own.md
README = (ROOT / "README.md").read_text()
PAGES = {path: path.read_text() for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]}


@pytest.mark.parametrize("core", sorted(set(CORES) - ON_OTHER_PAGES))
def test_a_core_has_a_page_and_a_row_that_leads_to_it(core: str) -> None:
    folder = ROOT / "docs" / "memories"
    row = re.search(rf"^\| `{core}` \|.*\]\((.*?)\) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert row, f"add a row of {core} to the table of docs/memories/README.md, with the link of its page"
    assert (folder / row[1]).exists(), f"write docs/memories/{row[1]}, like the others there"


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/tasks/*.md")), ids=lambda path: path.stem)
def test_the_readme_leads_to_the_page_of_a_task(page: Path) -> None:
    link = f"docs/tasks/{page.name}"
    assert f"]({link}" in README, f"link {link} in README.md, in the row of the tasks"


@pytest.mark.parametrize("config", sorted(ROOT.glob("conf/**/*.yaml")), ids=lambda path: path.stem)
def test_a_page_names_each_config(config: Path) -> None:
    name = config.relative_to(ROOT).as_posix()
    assert any(name in text for text in PAGES.values()), f"name {name} on the page of its task, with its command"


LONG = 1500  # words
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def test_every_public_name_and_method_has_a_docstring() -> None:
    assert reference.undocumented() == []


def test_a_long_page_begins_with_its_contents() -> None:
    found = {}
    for page, text in PAGES.items():
        top, *sections = re.split(r"^## (.*)$", FENCE.sub("", text), flags=re.MULTILINE)
        headings = sections[::2]
        if page != ROOT / "README.md" and len(text.split()) > LONG and len(headings) > 2:
            found[page.stem] = [name for name in headings if f"[{name}](#" not in " ".join(top.split())]
    assert len(found) > 5
    assert {page: missing for page, missing in found.items() if missing} == {}
