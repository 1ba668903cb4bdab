"""The pages of the reference: every public name, by package."""

from __future__ import annotations

import inspect
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

import memup_lightning

PAGES = {
    "modules": ("Training a memory", ["modules"]),
    "datamodules": ("Data", ["datamodules"]),
    "memory": ("Memory cores", ["models.memory"]),
    "networks": ("Networks", ["models.encoders", "models.outcomes", "models.predictors", "models.uncertainty"]),
    "targets": ("Targets", ["data.targets"]),
    "episodes": ("Episodes", ["chunk", "specs", "data", "exceptions"]),
    "envs": ("Environments", ["envs"]),
    "agents": ("Agents", ["rl"]),
    "serving": ("Serving", ["serving"]),
    "callbacks": ("Callbacks", ["callbacks"]),
    "protocols": ("Protocols", ["protocols"]),
}
"""File -> title, and the packages whose public names it holds. A more specific package wins."""
WHOLE = ("models.memory", "protocols")
"""Packages whose ``__all__`` is public although the top level does not repeat it."""


def public_names() -> dict[str, str]:
    """Map the import path of every public class and function to the module that it is in."""
    modules = memup_lightning._MODULES.items()
    found = {f"memup_lightning.{name}": module.removeprefix("memup_lightning.") for name, module in modules}
    for module in WHOLE:
        package = import_module(f"memup_lightning.{module}")
        here = {name: getattr(package, name) for name in package.__all__ if name not in memup_lightning.__all__}
        found |= {
            f"memup_lightning.{module}.{n}": module
            for n, x in here.items()
            if inspect.isroutine(x) or isinstance(x, type)
        }
    return found


def object_of(path: str) -> object:
    """Return the class or function of a path."""
    module, _, name = path.rpartition(".")
    owner: ModuleType = import_module(module)
    return getattr(owner, name)


def first_line(path: str) -> str:
    """Return the first line of a docstring, or nothing where there is none of its own."""
    return (getattr(object_of(path), "__doc__", None) or "").strip().partition("\n")[0]


def undocumented() -> list[str]:
    """Return the public names, and their public methods and properties, without a docstring, inherited or their own."""
    missing = []
    for path in public_names():
        found = object_of(path)
        members = vars(found) if isinstance(found, type) else {}
        parts = {f"{path}.{name}": x for name, x in members.items() if name[0] != "_" and _is_documented(x)}
        missing += [path] if not first_line(path) else []
        missing += [part for part, x in parts.items() if not _docstring(found, part.rpartition(".")[2], x)]
    return missing


def _is_documented(member: Any) -> bool:
    """Return whether a member of a class is a method or a property."""
    return inspect.isroutine(member) or isinstance(member, property | cached_property)


def _docstring(owner: Any, name: str, member: Any) -> str | None:
    inherited = (vars(base).get(name) for base in owner.__mro__)
    return getattr(member, "__doc__", None) or next((x.__doc__ for x in inherited if getattr(x, "__doc__", None)), None)


def page_of(module: str) -> str:
    """Return the page of a module: the one with the longest package above it."""
    matching = [
        (len(p), page) for page, (_, packages) in PAGES.items() for p in packages if f"{module}.".startswith(f"{p}.")
    ]
    if not matching:
        raise LookupError(
            f"memup_lightning.{module} has public names and no page: name it in PAGES of tools/site/reference.py"
        )
    return max(matching)[1]


def pages() -> dict[str, str]:
    """Return the Markdown of every page of the reference."""
    on_page: dict[str, list[str]] = {page: [] for page in PAGES}
    for path, module in sorted(public_names().items(), key=lambda item: item[0].rpartition(".")[2].lower()):
        on_page[page_of(module)].append(path)
    index = [
        "# Reference",
        "Every public class and function. All but those with a longer path are importable from `memup_lightning`, and a "
        "config names a class by its last name. On the command line `memup fit --model.help MemUP` and "
        "`memup fit --data.help GymnasiumDataModule` list the keys of a class.",
    ]
    made = {}
    for page, (title, _) in PAGES.items():
        rows = [f"| [`{x.removeprefix('memup_lightning.')}`][{x}] | {first_line(x)} |" for x in on_page[page]]
        table = "\n".join(["| name | what |", "|---|---|", *rows])
        index.append(f"## {title}\n\n{table}")
        made[f"reference/{page}.md"] = "\n\n".join([f"# {title}", *(f"::: {x}" for x in on_page[page])])
    return {"reference/index.md": "\n\n".join(index)} | made
