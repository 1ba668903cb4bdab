"""A griffe extension: the docstrings of this project as Markdown, with a table of keys in place of a class's arguments."""

from __future__ import annotations

import functools
import inspect
import logging
import re
from typing import Any

import griffe
from jsonargparse import _parameter_resolvers

import memup_lightning.cli.main  # noqa: F401 (lists options with their defaults)
from tools.site.reference import object_of, public_names

log = logging.getLogger("mkdocs.hooks.site")

ROLE = re.compile(r":\w+:`(~?)([\w.]+)`")
ARGUMENTS = re.compile(r"^( *)Args:\n((?:\1 +.*\n?|\n)*)", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrite docstrings before they are parsed."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        seen: set[int] = set()
        _rewrite(pkg, seen)


def _rewrite(owner: Any, seen: set[int]) -> None:
    for member in owner.members.values():
        if member.is_alias or id(member) in seen:
            continue
        seen.add(id(member))
        if member.docstring is not None:
            text = member.docstring.value
            if member.is_class and member.canonical_path in _paths():
                text = _with_keys(text, _paths()[member.canonical_path])
            member.docstring.value = ROLE.sub(_reference, text)
        if member.is_class or member.is_module:
            _rewrite(member, seen)


@functools.cache
def _paths() -> dict[str, str]:
    """Map where each public class is defined to its public path."""
    found = {}
    for path in public_names():
        defined: Any = object_of(path)
        if isinstance(defined, type):
            found[f"{defined.__module__}.{defined.__qualname__}"] = path
    return found


def _reference(role: re.Match[str]) -> str:
    """A Sphinx role as a link where the reference has the name, else as code."""
    short, path = role.groups()
    shown = path.rpartition(".")[2] if short else path
    public = _paths().get(path) or next((x for x in _paths().values() if x.rpartition(".")[2] == path), None)
    return f"[`{shown}`][{public}]" if public else f"`{shown}`"


def _with_keys(text: str, path: str) -> str:
    """Replace the arguments of a class by a table of all its keys, those that it passes on included."""
    defined: Any = object_of(path)
    if issubclass(defined, BaseException) or getattr(defined, "_is_protocol", False):
        return text
    parameters = [x for x in _parameter_resolvers.get_signature_parameters(defined) if x.name != "task"]
    rows = [f"| `{x.name}` | `{_type(x.annotation)}` | {_default(x.default)} | {_meaning(x.doc)} |" for x in parameters]
    if not rows:
        return text
    for x in parameters:
        if not x.doc:
            log.warning("%s: its key %s has no description", path, x.name)
    table = "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])
    found = ARGUMENTS.search(text)
    rest = (text[: found.start()], text[found.end() :]) if found else (text.rstrip() + "\n\n", "")
    return f"{rest[0]}{table}\n\n{rest[1]}"


def _type(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    name = (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", name).replace("NoneType", "None")


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    return f"`{value!r}`"


def _meaning(doc: str | None) -> str:
    """Return a description as a cell: a bar outside of code would end it."""
    parts = re.split(r"(``.*?``)", " ".join((doc or "").split()))
    return "".join(x.replace("``", "`") if x.startswith("``") else x.replace("|", "&#124;") for x in parts)
