"""Models from their checkpoints, without the config that they were trained with."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from jsonargparse import ArgumentParser

from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.base import BaseTask
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.runs.checkpoints.files import check_checkpoint
from memup_lightning.runs.checkpoints.lookup import weights_to_use
from memup_lightning.runs.checkpoints.trust import check_hyperparameters

M = TypeVar("M", bound=BaseTask)


def build_module(base: Callable[..., M], hyperparameters: Mapping[str, Any], path: str | Path) -> M:
    """Build a module from the hyperparameters that a run of the command line keeps in its checkpoints.

    Args:
        base: base class of the module, abstract or not.
        hyperparameters: of the checkpoint; they are not changed.
        path: of the checkpoint, for messages.

    Raises:
        MemUPError: they name a class that is not trusted, or do not fit the classes that they name.
    """
    check_hyperparameters(hyperparameters, path)
    arguments = {key: copy.deepcopy(x) for key, x in hyperparameters.items() if key != "_instantiator"}
    try:
        module = _instantiate(base, arguments)
    except (ValueError, TypeError, argparse.ArgumentError) as error:
        if (ours := _own_error(error)) is not None:
            raise MemUPError(f"{path}: {ours}") from error
        made = hyperparameters.get("_class_path", "another module")
        raise MemUPError(
            f"{path}: cannot be built as {getattr(base, '__name__', base)}, it holds {made}: {error}"
        ) from error
    module.hparams.clear()  # built while another module is built, it would hold that one's hyperparameters
    module.hparams.update(hyperparameters)
    return module


def _instantiate(base: Callable[..., M], arguments: Mapping[str, Any]) -> M:
    """Build a module like Lightning's ``instantiate_module``, without the method of jsonargparse that is deprecated."""
    parser = ArgumentParser(exit_on_error=False)
    given = dict(arguments)
    if (path := given.pop("_class_path", None)) is None:
        parser.add_class_arguments(base, "module", fail_untyped=False)
    else:
        parser.add_subclass_arguments(base, "module", fail_untyped=False)  # type: ignore[arg-type]
        given = {"class_path": path, "dict_kwargs": given}
    module: M = parser.instantiate(parser.parse_object({"module": given})).module
    return module


def load_module(path: str | Path, base: Callable[..., M]) -> tuple[M, dict[str, Any]]:
    """Load the module of a checkpoint with its weights, on the CPU, and all else that the checkpoint holds.

    Raises:
        MemUPError: no such file, a torn one, one of another class of module, one that names a class that is not trusted,
            or one of a module that was built in Python, by callables that have no place in a checkpoint.
    """
    check_checkpoint(path, "the checkpoint")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    hyperparameters = checkpoint.get("hyper_parameters", {})
    if "_instantiator" not in hyperparameters:
        raise MemUPError(
            f"{path}: the checkpoint does not say what its model is built from; it must come from "
            "`memup fit` (in Python, build the model and load the state_dict into it)"
        )
    module = build_module(base, hyperparameters, path)
    module.load_state_dict(checkpoint["state_dict"])
    return module, checkpoint


def load_memory(path: str | Path) -> MemoryTask:
    """Load the module of memory training of a checkpoint, on the CPU.

    Args:
        path: of the checkpoint; or of a folder, whose newest run counts: the weights that it ended with, or the last ones
            where it has not ended.

    Raises:
        MemUPError: see :func:`load_module`; a folder without a checkpoint.
    """
    return load_module(weights_to_use(path), MemoryTask)[0]


def _own_error(error: BaseException | None) -> MemUPError | None:
    """Return the error of ours that jsonargparse wrapped, if there is one."""
    while error is not None and not isinstance(error, MemUPError):
        error = error.__cause__
    return error
