"""The public names of the package, and what an import of it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import memup_lightning
from tests.command_line import ROOT

SOURCE = ast.parse(Path(memup_lightning.__file__).read_text())
WHOLE_PACKAGES = ("callbacks", "datamodules", "modules", "rl.algorithms")


def for_type_checkers() -> dict[str, str]:
    """Name -> module of every import that only type checkers see."""
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


PLACES = {
    "the imports for type checkers": set(for_type_checkers()),
    "_MODULES": set(memup_lightning._MODULES),
    "__all__": set(memup_lightning.__all__) - {"__version__"},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_public_name_is_in_every_place(place: str) -> None:
    missing = sorted(set().union(*PLACES.values()) - PLACES[place])
    assert not missing, f"memup_lightning/__init__.py: {', '.join(missing)} missing in {place}"


@pytest.mark.parametrize("name", sorted(set.intersection(*PLACES.values())))
def test_each_public_name_exists_where_type_checkers_look_for_it(name: str) -> None:
    module = import_module(for_type_checkers()[name])
    assert getattr(memup_lightning, name) is getattr(module, name)
    assert name in dir(memup_lightning)


@pytest.mark.parametrize("package", WHOLE_PACKAGES)
def test_all_that_users_configure_is_public(package: str) -> None:
    assert set(import_module(f"memup_lightning.{package}").__all__) <= set(memup_lightning.__all__)


@pytest.mark.parametrize("module", ["models.memory", "models.outcomes", "models.predictors", "models.uncertainty"])
def test_every_class_to_subclass_or_to_configure_is_public(module: str) -> None:
    found = vars(import_module(f"memup_lightning.{module}"))
    torch_module = import_module("torch.nn").Module
    classes = {n for n, x in found.items() if isinstance(x, type) and issubclass(x, torch_module) and n[0] != "_"}
    ours = {name for name in classes if found[name].__module__.startswith(f"memup_lightning.{module}")}
    assert ours
    assert ours <= set(memup_lightning.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'MemUp'"):
        memup_lightning.MemUp  # noqa: B018


def test_importing_the_package_loads_no_library() -> None:
    """Neither torch nor Lightning, whose imports take seconds; modules are counted since a clock depends on the load."""
    code = """if True:
        import sys
        before = set(sys.modules)
        import memup_lightning
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(sorted(new - set(sys.stdlib_module_names)))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == "['memup_lightning']"
