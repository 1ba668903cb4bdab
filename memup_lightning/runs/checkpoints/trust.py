"""Trusted classes of checkpoints: a file from elsewhere must not choose what code runs here.

Weights load with ``weights_only=True``, which runs no code. But a checkpoint also keeps the hyperparameters of its model,
in which classes are given by import path, and jsonargparse imports and calls whatever it finds there. So every name in
them is checked before anything is imported.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, get_type_hints

import torch
import yaml
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.core.saving import CHECKPOINT_PAST_HPARAMS_KEYS
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import TaskSpec
from memup_lightning.user_warnings import option

_BUILT_IN_NAMES = ("memup_lightning", "torch.nn", "torch.optim", "pytorch_lightning.cli.ReduceLROnPlateau")
_PARTS = (nn.Module, Optimizer, LRScheduler)
_INSTANTIATOR = "pytorch_lightning.cli.instantiate_module"
_MAX_DEPTH = 32  # of nested hyperparameters; a file may hold a dictionary that contains itself
_trusted: set[str] = set()


def trust(*names: str) -> None:
    """Allow checkpoints to name these packages, modules or classes, for the rest of the process.

    Args:
        names: import paths, such as ``my_package`` or ``my_package.MyCore``; each allows all below it.
    """
    _trusted.update(names)


def import_modules(names: Sequence[str]) -> None:
    """Import modules of the user, and trust them.

    Raises:
        MemUPError: one that cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            remedy = "leave out .py" if name.endswith(".py") else "install it, or put its folder on PYTHONPATH"
            raise MemUPError(f"imports={name}: cannot be imported ({error}); {remedy}") from error
    trust(*names)


def check_hyperparameters(hyperparameters: Mapping[str, Any], path: str | Path | IO[bytes]) -> None:
    """Refuse hyperparameters that name anything but networks, optimizers and schedulers that are trusted.

    Args:
        hyperparameters: as they are in the checkpoint.
        path: of the checkpoint, for messages.

    Raises:
        MemUPError: the first name that is not allowed, and how to allow it.
    """
    rest = {key: x for key, x in hyperparameters.items() if key not in ("_instantiator", "task")}
    if hyperparameters.get("_instantiator", _INSTANTIATOR) != _INSTANTIATOR:
        raise _refusal(path, str(hyperparameters["_instantiator"]))
    if "task" in hyperparameters:
        check_task(hyperparameters["task"], path)
    for name in _names(rest, path):
        if not _is_allowed(name):
            raise _refusal(path, name)


def check_names(checkpoint_path: str | Path | IO[bytes], weights_only: bool | None) -> bool:
    """Check the names in a checkpoint, before ``load_from_checkpoint`` builds a model or datamodule from it.

    Args:
        checkpoint_path: path of the file, or the open file.
        weights_only: as the caller gave it; False, which unpickles anything, must be given.

    Returns:
        The ``weights_only`` to load with.

    Raises:
        MemUPError: the checkpoint names a class that is not trusted.
    """
    if weights_only is False:
        return False
    content = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint_path, str | Path):
        checkpoint_path.seek(0)
    keys = (
        LightningModule.CHECKPOINT_HYPER_PARAMS_KEY,
        LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY,
        *CHECKPOINT_PAST_HPARAMS_KEYS,
    )
    for key in keys:
        check_hyperparameters(content.get(key, {}), checkpoint_path)
    return True


def _names(value: Any, path: Any, key: str = "", depth: int = 0) -> Iterator[str]:
    """Every string that jsonargparse might import: class paths, and all that looks like an import path."""
    if depth > _MAX_DEPTH:
        raise MemUPError(
            f"{path}: its hyperparameters are nested more than {_MAX_DEPTH} deep; it was not written by fit"
        )
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _names(inner, path, str(name).rsplit(".", 1)[-1], depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _names(inner, path, "", depth + 1)
    elif key in ("class_path", "_class_path"):
        yield str(value)
    elif isinstance(value, str):
        if "." in value and all(part.isidentifier() for part in value.split(".")):
            yield value
        elif isinstance(nested := _parsed(value), dict | list):
            yield from _names(nested, path, "", depth + 1)


def _parsed(text: str) -> Any:
    """Return what jsonargparse makes of a string: YAML, so that a dictionary may hide in it."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _is_allowed(name: str) -> bool:
    if name in _trusted:
        return True
    if not _is_below(name, {*_BUILT_IN_NAMES, *_trusted}):
        return False
    found = _resolve(name)
    # Not where it was imported to.
    home = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
    if _is_below(home, _trusted):
        return True
    return _is_below(home, _BUILT_IN_NAMES) and _builds_part(found)


def _is_below(name: str, roots: Any) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def _resolve(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return None


def _builds_part(found: Any) -> bool:
    """Return whether it is a class of networks, optimizers or schedulers, or a function that returns one."""
    if inspect.isfunction(found):
        found = get_type_hints(found).get("return")
    return inspect.isclass(found) and issubclass(found, _PARTS)


def check_task(task: Any, path: Any) -> TaskSpec:
    """Make the task of a checkpoint. It holds names of fields, which may look like import paths; so it must be a task and
    nothing else.

    Args:
        task: as it is in the checkpoint.
        path: of the checkpoint, for messages.

    Raises:
        MemUPError: it is no task.
    """
    try:
        made = TaskSpec.from_dict(task)
        plain = not any(key == "class_path" for part in (task, *task["fields"].values()) for key in part)
    except MemUPError as error:
        raise MemUPError(f"{path}: {error}") from error
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise MemUPError(f"{path}: its task cannot be read ({error}); it was not written by memup_lightning") from error
    if not plain:
        raise _refusal(path, "class_path in its task")
    return made


def _refusal(path: Any, name: str) -> MemUPError:
    root = name.partition(".")[0]
    return MemUPError(
        f"{path}: its hyperparameters name {name}, which is no network, optimizer or scheduler of memup_lightning or "
        "torch; a checkpoint may run the code that it names, so allow it only where you trust it: "
        + option("imports", root, f'memup_lightning.runs.checkpoints.trust.trust("{root}")')
    )
