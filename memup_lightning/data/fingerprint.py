"""Identity of parameters as plain JSON: equal for equal parameters in every process, different where data would differ.

A number is itself. A function or class is its import path, the version of its package and a checksum of its source
file, so that a policy which was edited counts as another one. Any other object is its class and what it holds: a trained
network counts with its weights.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import sys
import types
from collections.abc import Callable, Mapping
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memup_lightning.exceptions import MemUPError

Json = Any
"""None, bool, int, float, str, and lists and dicts of them."""
Part = Callable[[Any], Json]


class FingerprintError(ValueError):
    """Error: an object that another process could not recognize as the same."""


def fingerprints(parameters: Mapping[str, Any]) -> dict[str, Json]:
    """Return the identity of each parameter.

    Raises:
        MemUPError: naming the parameter that has none, such as a lambda or a function inside another.
    """
    found = {}
    for name, value in parameters.items():
        try:
            found[name] = fingerprint(value)
        except FingerprintError as error:
            raise MemUPError(
                f"episodes cannot be kept in cache_dir with {name}={value!r}: {error}; define it at the top level of a "
                "module, holding plain values, arrays and networks only, or leave cache_dir out"
            ) from None
    return found


def fingerprint(value: Any, within: tuple[int, ...] = ()) -> Json:
    """Return the plain JSON that says what ``value`` is; ``within`` are the objects that hold it.

    Raises:
        FingerprintError: there is none.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if id(value) in within:
        raise FingerprintError(f"its {type(value).__qualname__} holds itself")
    return _identity(value, functools.partial(fingerprint, within=(*within, id(value))))


def canonical(plain: Json) -> str:
    """Return one text for equal JSON, whatever the order of its keys."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def digest(plain: Json) -> str:
    """Return 16 hexadecimal digits that follow from the JSON."""
    return hashlib.sha256(canonical(plain).encode()).hexdigest()[:16]


@functools.singledispatch
def _identity(value: Any, part: Part) -> Json:
    """Return the identity of an object that holds others, whose identities ``part`` returns."""
    slots = [name for base in type(value).__mro__ for name in _slots(base) if hasattr(value, name)]
    if not hasattr(value, "__dict__") and not slots:
        raise FingerprintError(f"a {type(value).__qualname__} does not say what it holds")
    content = {**{name: getattr(value, name) for name in slots}, **getattr(value, "__dict__", {})}
    return {"class": _named(type(value)), "holds": part(content)}


@_identity.register(np.generic)
def _(value: np.generic, part: Part) -> Json:
    return value.item()


@_identity.register(Path)
@_identity.register(np.dtype)
@_identity.register(torch.dtype)
@_identity.register(torch.device)
@_identity.register(bytes)
def _(value: Any, part: Part) -> Json:
    return str(value)


@_identity.register(type)
@_identity.register(types.FunctionType)
@_identity.register(types.BuiltinFunctionType)
def _(value: Any, part: Part) -> Json:
    return _named(value)


@_identity.register(types.MethodType)
def _(value: types.MethodType, part: Part) -> Json:
    return {"method": value.__name__, "of": part(value.__self__)}


@_identity.register(list)
@_identity.register(tuple)
def _(value: list[Any] | tuple[Any, ...], part: Part) -> Json:
    return [part(x) for x in value]


@_identity.register(set)
@_identity.register(frozenset)
def _(value: set[Any] | frozenset[Any], part: Part) -> Json:
    return sorted((part(x) for x in value), key=canonical)


@_identity.register(Mapping)
def _(value: Mapping[Any, Any], part: Part) -> Json:
    return {key if isinstance(key, str) else canonical(part(key)): part(x) for key, x in value.items()}


@_identity.register(np.ndarray)
def _(value: np.ndarray[Any, Any], part: Part) -> Json:
    if value.dtype.hasobject:
        raise FingerprintError("an array of objects does not say what it holds")
    return _array(value, np.ascontiguousarray(value).tobytes())


@_identity.register(torch.Tensor)
def _(value: torch.Tensor, part: Part) -> Json:
    return _array(value, value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


@_identity.register(Enum)
def _(value: Enum, part: Part) -> Json:
    return {"class": _named(type(value)), "holds": value.name}


@_identity.register(np.random.Generator)
def _(value: np.random.Generator, part: Part) -> Json:
    return {"class": _named(type(value)), "holds": part(value.bit_generator.state)}


@_identity.register(functools.partial)
def _(value: functools.partial[Any], part: Part) -> Json:
    # jsonargparse instantiates classes through functions of its own, which say nothing about the data
    args = [x for x in (value.func, *value.args) if not getattr(x, "__module__", "").startswith("jsonargparse")]
    return {"class": _named(type(value)), "holds": part([args, value.keywords])}


def _slots(base: type) -> tuple[str, ...]:
    slots = base.__dict__.get("__slots__", ())
    return tuple(name for name in ((slots,) if isinstance(slots, str) else slots) if not name.startswith("__"))


def _array(value: np.ndarray[Any, Any] | torch.Tensor, content: bytes) -> Json:
    return [str(value.dtype), list(value.shape), hashlib.sha256(content).hexdigest()[:16]]


def _named(value: Any) -> Json:
    """Import path, source and package version of a function or class."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    found: Any = sys.modules.get(module or "")
    for attribute in name.split("."):
        found = getattr(found, attribute, None)
    if found is not value:
        raise FingerprintError(f"{name or value!r} cannot be found again by its name in module {module!r}")
    top = str(module).partition(".")[0]
    if top in sys.stdlib_module_names:
        return {"path": f"{module}.{name}", "version": f"python {sys.version_info.major}.{sys.version_info.minor}"}
    described = {"path": f"{module}.{name}", "source": _source(found), "version": _version(top)}
    if described["source"] is described["version"] is None:
        raise FingerprintError(f"{module}.{name} has neither a source file nor a package version")
    return described


def _source(value: Any) -> str | None:
    """Return the checksum of the source file in which a function or class is defined."""
    try:
        file = inspect.getsourcefile(value)
        return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    except (TypeError, OSError):
        return None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _version(top: str) -> str | None:
    """``name version`` of the installed packages that a module belongs to."""
    names = sorted(set(_distributions().get(top, ())))
    return ", ".join(f"{name} {metadata.version(name)}" for name in names) or None
