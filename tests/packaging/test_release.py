"""What a release says of itself: constraints, versions, the program, the configs that it ships."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement

from memup_lightning import __version__
from memup_lightning.__main__ import run
from tests.command_line import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements() -> list[Requirement]:
    """Every dependency for this Python, of the extras too."""
    texts = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    found = [Requirement(text) for text in texts if not text.startswith("memup-lightning")]
    return [x for x in found if x.marker is None or x.marker.evaluate(dict(default_environment()))]


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pins = [Requirement(line) for line in lines]
    return {x.name: next(iter(x.specifier)).version for x in pins if x.marker is None or x.marker.evaluate()}


@pytest.mark.parametrize("requirement", requirements(), ids=lambda x: str(x.name))
def test_constraints_pin_every_dependency_within_its_bounds(requirement: Requirement, pinned: dict[str, str]) -> None:
    assert re.sub(r"[-_.]+", "-", requirement.name).lower() in pinned, "run: make constraints"
    assert requirement.specifier.contains(pinned[requirement.name.lower()])


def imported() -> set[str]:
    """The packages that the code of the package imports, anywhere."""
    names = set()
    folders = [ROOT / name for name in ("memup_lightning", "callbacks", "datamodules")]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"memup_lightning"}


@pytest.mark.parametrize("name", sorted(imported()))
def test_every_package_that_is_imported_is_declared(name: str) -> None:
    declared = {re.sub(r"[-_.]+", "-", x.name).lower() for x in requirements()}
    found = packages_distributions().get(name, [name])
    assert declared & {re.sub(r"[-_.]+", "-", x).lower() for x in found}


def test_every_file_that_names_the_version_names_this_one() -> None:
    assert PROJECT["version"] == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"\n## {__version__} (" in (ROOT / "CHANGELOG.md").read_text()


def test_the_program_is_the_one_of_the_package() -> None:
    module, _, name = PROJECT["scripts"]["memup"].partition(":")
    assert getattr(importlib.import_module(module), name) is run


@pytest.fixture
def memup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the program in an empty folder, and returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> str:
        monkeypatch.setattr(sys, "argv", ["memup", *args])
        run()
        return capsys.readouterr().out

    return call


def test_configs_are_copied_and_listed(memup: Callable[..., str], tmp_path: Path) -> None:
    listed = memup("configs")
    shipped = {path.relative_to(ROOT / "conf"): path.read_text() for path in (ROOT / "conf").rglob("*.yaml")}
    copied = {path.relative_to(tmp_path / "conf"): path.read_text() for path in (tmp_path / "conf").rglob("*.yaml")}
    assert copied == shipped
    for path, text in shipped.items():
        purpose = re.search(rf"^{re.escape(str(Path('conf') / path))} +(.*)$", listed, re.MULTILINE)
        assert purpose is not None
        assert purpose[1].partition(" ...")[0][:60] in text


def test_modules_of_the_working_folder_can_be_imported(
    memup: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [x for x in sys.path if x not in ("", str(tmp_path))])
    memup("configs")
    assert sys.path[0] == str(tmp_path)


def test_a_config_that_the_user_changed_is_kept_and_named(memup: Callable[..., str], tmp_path: Path) -> None:
    memup("configs", "mine")
    (tmp_path / "mine" / "tmaze.yaml").write_text("data: {}\n")
    (line,) = [line for line in memup("configs", "mine").splitlines() if "kept" in line]
    assert line.startswith("mine/tmaze.yaml ")
    assert (tmp_path / "mine" / "tmaze.yaml").read_text() == "data: {}\n"


def test_a_folder_that_cannot_be_written_is_named(
    memup: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf").write_text("a file")
    with pytest.raises(SystemExit) as end:
        memup("configs")
    assert end.value.code == 2
    assert "conf/adding.yaml: cannot be written" in capsys.readouterr().err
