"""Models from their checkpoints, without the config that they were trained with."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pytorch_lightning.cli import instantiate_module

from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.base import BaseTask
from memup_lightning.runs.checkpoints import check_checkpoint

M = TypeVar("M", bound=BaseTask)


def build_module(kind: type[M], given: Mapping[str, Any]) -> M:
    """A module from the hyperparameters that a run of the command line keeps in its checkpoints.

    Args:
        kind: what it must be.
        given: the hyperparameters; they stay as they are.
    """
    kept = {key: copy.deepcopy(x) for key, x in given.items() if key != "_instantiator"}
    module: M = instantiate_module(kind, kept)
    module.hparams.clear()  # built while another module is built, it would take that one's for its own
    module.hparams.update(given)
    return module


def load_module(path: str | Path, kind: type[M]) -> tuple[M, dict[str, Any]]:
    """The module of a checkpoint with its weights, on the CPU, and all else that the checkpoint holds.

    Raises:
        MemUPError: no such file, a torn one, one of another kind of module, or one of a module that was built in Python,
            by callables that have no place in a checkpoint.
    """
    check_checkpoint(path, "the checkpoint")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    given = checkpoint.get("hyper_parameters", {})
    if "_instantiator" not in given:
        raise MemUPError(
            f"{path}: the checkpoint does not say what its model is built from; it must come from "
            "`python -m memup_lightning fit` (in Python, build the model and load the state_dict into it)"
        )
    try:
        module = build_module(kind, given)
    except (ValueError, TypeError) as error:
        made = given.get("_class_path", "another module")
        raise MemUPError(f"{path}: cannot be built as {kind.__name__}, it holds {made}: {error}") from error
    module.load_state_dict(checkpoint["state_dict"])
    return module, checkpoint
