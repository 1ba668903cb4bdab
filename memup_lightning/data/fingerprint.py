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
from collections.abc import Mapping
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memup_lightning.exceptions import MemUPError

Json = Any
"""None, bool, int, float, str, and lists and dicts of them."""


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
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path | np.dtype | torch.dtype | torch.device | bytes):
        return str(value)
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return _named(value)
    if id(value) in within:
        raise FingerprintError(f"its {type(value).__qualname__} holds itself")
    part = functools.partial(fingerprint, within=(*within, id(value)))
    if isinstance(value, list | tuple):
        return [part(x) for x in value]
    if isinstance(value, set | frozenset):
        return sorted((part(x) for x in value), key=canonical)
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else canonical(part(key)): part(x) for key, x in value.items()}
    if isinstance(value, np.ndarray | torch.Tensor):
        return _array(value)
    if isinstance(value, types.MethodType):
        return {"method": value.__name__, "of": part(value.__self__)}
    return {"class": _named(type(value)), "holds": part(_content(value))}


def canonical(plain: Json) -> str:
    """Return one text for equal JSON, whatever the order of its keys."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def digest(plain: Json) -> str:
    """Return 16 hexadecimal digits that follow from the JSON."""
    return hashlib.sha256(canonical(plain).encode()).hexdigest()[:16]


def _content(value: Any) -> Json:
    """Return the attributes of an object, for its fingerprint."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, functools.partial):
        # jsonargparse instantiates classes through functions of its own, which say nothing about the data
        args = [x for x in (value.func, *value.args) if not getattr(x, "__module__", "").startswith("jsonargparse")]
        return [args, value.keywords]
    slots = [name for base in type(value).__mro__ for name in _slots(base) if hasattr(value, name)]
    if not hasattr(value, "__dict__") and not slots:
        raise FingerprintError(f"a {type(value).__qualname__} does not say what it holds")
    return {**{name: getattr(value, name) for name in slots}, **getattr(value, "__dict__", {})}


def _slots(base: type) -> tuple[str, ...]:
    slots = base.__dict__.get("__slots__", ())
    return tuple(name for name in ((slots,) if isinstance(slots, str) else slots) if not name.startswith("__"))


def _array(value: np.ndarray[Any, Any] | torch.Tensor) -> Json:
    dtype, shape = str(value.dtype), list(value.shape)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if value.dtype.hasobject:
        raise FingerprintError("an array of objects does not say what it holds")
    return [dtype, shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]]


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
