"""Loggers: W&B offline by default, online by ``WANDB_MODE=online`` and in sweeps; metrics.csv written as a whole."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from memup_lightning.exceptions import MemUPError
from memup_lightning.files import atomic_write
from memup_lightning.runs.lightning_private import drop_anonymous, skip_launch_inputs
from memup_lightning.runs.run_folder import as_list, nearby
from memup_lightning.user_warnings import warn_user

_OFFLINE_MODES = ("offline", "dryrun")
_PACKAGES = {
    "TensorBoardLogger": ("tensorboard", "tensorboardX"),
    "MLFlowLogger": ("mlflow",),
    "CometLogger": ("comet_ml",),
    "NeptuneLogger": ("neptune",),
}
"""Packages of Lightning's loggers: one of each is needed."""
_SWEEP_VARIABLES = ("WANDB_SWEEP_ID", "WANDB_RUN_ID")  # `wandb agent` sets them; it must see the run to stop it


def check_loggers(trainer: Any) -> None:
    """Check that the packages of the loggers are installed, and set the mode of Weights & Biases.

    Args:
        trainer: the trainer's config.

    Raises:
        MemUPError: a package that is missing; of W&B only where there is no other logger.
    """
    for part in as_list(trainer.get("logger")):
        name = getattr(part, "class_path", "").rpartition(".")[2]
        if (packages := _PACKAGES.get(name)) and not any(map(importlib.util.find_spec, packages)):
            raise MemUPError(
                f"trainer.logger={name}: {packages[0]} is not installed; pip install {packages[0]}, or take CSVLogger"
            )
    leave_out_missing_wandb(trainer)
    set_wandb_mode(trainer)


def leave_out_missing_wandb(trainer: Any) -> None:
    """Leave out the WandbLoggers of a config, with a warning, where W&B is not installed: the other loggers are enough.

    Args:
        trainer: the trainer's config.

    Raises:
        MemUPError: no other logger.
    """
    loggers = as_list(trainer.get("logger"))
    others = [part for part in loggers if "WandbLogger" not in getattr(part, "class_path", "")]
    if len(others) == len(loggers) or importlib.util.find_spec("wandb"):
        return
    install = "pip install wandb"
    if not others:
        raise MemUPError(f"trainer.logger=WandbLogger: wandb is not installed; {install}, or take CSVLogger")
    trainer.logger = others
    warn_user(f"wandb is not installed: this run is not logged to Weights & Biases ({install})")


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


def wandb_loggers(trainer: Trainer) -> list[WandbLogger]:
    """Return the loggers of a run that send to Weights & Biases."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def prepare_wandb(trainer: Trainer) -> None:
    """Remove the argument of each WandbLogger of which W&B warns even where it is silent, and the import of W&B's launch
    service, which took a fifth of the time until the first update."""
    for logger in wandb_loggers(trainer):
        drop_anonymous(logger)
        skip_launch_inputs(importlib.import_module("wandb.sdk.wandb_run").Run)


def write_metrics_whole(trainer: Trainer) -> None:
    """Let each CSVLogger replace metrics.csv as a whole: a full disk or a kill leaves the rows that were there.

    Lightning appends to the file, and empties it before it writes it again with a new column.
    """
    for logger in trainer.loggers:
        if isinstance(logger, CSVLogger):
            _write_whole(logger)


def _write_whole(logger: CSVLogger) -> None:
    plain = logger.save

    @rank_zero_only
    def save() -> None:
        writer = logger.experiment
        if writer.metrics:
            path = Path(writer.metrics_file_path)
            earlier = path.read_bytes() if path.exists() else b""
            rows, names = writer.metrics, sorted({*writer.metrics_keys, *set().union(*writer.metrics)})
            has_header = bool(earlier) and names == writer.metrics_keys
            if not has_header:  # a new column: all rows get it
                rows = [*csv.DictReader(io.StringIO(earlier.decode(), newline="")), *rows]
                names = sorted(set().union(*rows))
            table = csv.DictWriter(text := io.StringIO(newline=""), fieldnames=names)
            if not has_header:
                table.writeheader()
            table.writerows(rows)
            with atomic_write(path) as file:
                file.write((earlier if has_header else b"") + text.getvalue().encode())
            writer.metrics, writer.metrics_keys = [], names
        plain()

    logger.save = save  # type: ignore[method-assign]


def log_picture(trainer: Trainer, name: str, path: Path) -> None:
    """Send a picture to the loggers that keep pictures: Weights & Biases, TensorBoard, MLflow."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(f"pictures/{name}", [str(path)])
        elif isinstance(logger, TensorBoardLogger):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            logger.experiment.add_image(f"pictures/{name}", pixels, trainer.global_step, dataformats="HWC")
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_artifact(logger.run_id, str(path), "pictures")


def wandb_sync_line(trainer: Trainer) -> str | None:
    """Return the command that sends this run to W&B later; None where it is online, or has no WandbLogger."""
    for logger in wandb_loggers(trainer):
        run = logger.experiment
        if getattr(run, "offline", False) and getattr(run, "dir", None):
            folder = nearby(Path(run.dir).parent)
            return f"W&B is offline; send this run later with: wandb sync {shlex.quote(folder)}"
    return None
