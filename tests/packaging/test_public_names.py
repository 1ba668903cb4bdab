"""The public names of the package, and what an import of it costs."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pytorch_lightning import Callback

import memup_lightning
from memup_lightning.datamodules import BaseDataModule
from memup_lightning.models.memory import Memory
from tests.command_line import ROOT

WHOLE_PACKAGES = ("callbacks", "datamodules", "modules", "rl.algorithms")
BASES = {"callbacks": Callback, "datamodules": BaseDataModule, "models.memory": Memory}
"""Packages whose classes a config names, and the base class of these."""
NOT_CONFIGURED = {"RecordedSplits", "TorchRNN"}
"""Base classes of a package's own."""


def stub(module: str) -> str:
    """What to add to the public names, and where."""
    return f"to the imports of memup_lightning/__init__.pyi, from memup_lightning.{module}"


@pytest.mark.parametrize("name", sorted(memup_lightning._MODULES))
def test_a_public_name_is_an_object_of_its_module(name: str) -> None:
    module = import_module(memup_lightning._MODULES[name])
    assert getattr(memup_lightning, name) is getattr(module, name)
    assert name in dir(memup_lightning)


def test_a_public_name_keeps_its_name() -> None:
    """Type checkers take `X as X` for public, and another name for what is imported."""
    tree = ast.parse(Path(memup_lightning.__file__).with_suffix(".pyi").read_text())
    aliases = [x for node in tree.body if isinstance(node, ast.ImportFrom) for x in node.names]
    assert [x.name for x in aliases if x.asname != x.name] == []


@pytest.mark.parametrize("package", BASES)
def test_every_class_of_a_package_is_a_name_of_the_package(package: str) -> None:
    whole = import_module(f"memup_lightning.{package}")
    modules = [import_module(x.name) for x in pkgutil.walk_packages(whole.__path__, f"{whole.__name__}.")]
    found = {
        name
        for module in modules
        for name, x in vars(module).items()
        if isinstance(x, type) and issubclass(x, BASES[package]) and x.__module__ == module.__name__ and name[0] != "_"
    }
    missing = sorted(found - NOT_CONFIGURED - set(whole.__all__))
    assert not missing, f"add {', '.join(missing)} to the imports and __all__ of {whole.__name__}"


@pytest.mark.parametrize("package", WHOLE_PACKAGES)
def test_all_that_users_configure_is_public(package: str) -> None:
    missing = sorted(set(import_module(f"memup_lightning.{package}").__all__) - set(memup_lightning.__all__))
    assert not missing, f"add {', '.join(missing)} {stub(package)}"


@pytest.mark.parametrize("module", ["models.memory", "models.outcomes", "models.predictors", "models.uncertainty"])
def test_every_class_to_subclass_or_to_configure_is_public(module: str) -> None:
    found = vars(import_module(f"memup_lightning.{module}"))
    torch_module = import_module("torch.nn").Module
    classes = {n for n, x in found.items() if isinstance(x, type) and issubclass(x, torch_module) and n[0] != "_"}
    ours = {name for name in classes if found[name].__module__.startswith(f"memup_lightning.{module}")}
    assert ours
    missing = sorted(ours - set(memup_lightning.__all__))
    assert not missing, f"add {', '.join(missing)} {stub(module)}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'MemUp'"):
        memup_lightning.MemUp  # type: ignore[attr-defined] # noqa: B018


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
