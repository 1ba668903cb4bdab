"""Weights & Biases: offline by default, online by ``WANDB_MODE=online`` and in sweeps."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger

from memup_lightning.runs.lightning_private import drop_anonymous
from memup_lightning.runs.run_folder import as_list

_OFFLINE_MODES = ("offline", "dryrun")
_SWEEP_VARIABLES = ("WANDB_SWEEP_ID", "WANDB_RUN_ID")  # `wandb agent` sets them; it must see the run to stop it


def set_wandb_mode(trainer: Any) -> None:
    """Set ``WANDB_MODE`` where the user has not: online in a sweep, else offline, so that W&B never asks for a login.

    Args:
        trainer: the trainer's config.
    """
    loggers = [part for part in as_list(trainer.get("logger")) if "WandbLogger" in getattr(part, "class_path", "")]
    if not loggers:
        return
    in_sweep = any(name in os.environ for name in _SWEEP_VARIABLES)
    mode = os.environ.setdefault("WANDB_MODE", "online" if in_sweep else "offline")
    if mode in _OFFLINE_MODES or any(part.init_args.get("offline") for part in loggers):
        os.environ.setdefault("WANDB_SILENT", "true")


def keep_wandb_silent(trainer: Trainer) -> None:
    """Remove the argument of each WandbLogger of which W&B warns even where it is silent."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            drop_anonymous(logger)


def wandb_sync_line(trainer: Trainer) -> str | None:
    """Return the command that sends this run to W&B later; None where it is online, or has no WandbLogger."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            run = logger.experiment
            if getattr(run, "offline", False) and getattr(run, "dir", None):
                folder = Path(run.dir).parent
                near = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
                return f"W&B is offline; send this run later with: wandb sync {shlex.quote(str(near))}"
    return None
