"""Errors of user input, which end in one sentence (all others are ours, and end in a traceback), and warnings."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from memup_lightning.exceptions import MemUPError

_KEYS_OF_PACKAGES = {
    "torch.optim.lr_scheduler": "model.init_args.lr_scheduler: ",
    "torch.optim": "model.init_args.optimizer: ",
    "lightning_fabric": "",
    "pytorch_lightning": "",
    "wandb": "Weights & Biases: ",
    "mlflow": "MLflow: ",
}
"""Packages whose own errors are about settings -> the key to name."""
_SETTINGS_ERRORS = (ValueError, ZeroDivisionError, ModuleNotFoundError, FileNotFoundError)

_NOISE = (
    ".*does not have many workers.*",  # generated episodes need none
    "Found .* in eval mode at the start of training.*",  # those of a memory that stays fixed
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    "Your `IterableDataset` has `__len__` defined.*",  # it is right for any number of workers
    "Couldn't infer the batch indices.*",  # a prediction carries its episode and step
    "You're resuming from a checkpoint that ended before the epoch ended.*",  # the datamodule knows the place
    "The dirpath has changed.*",  # every run has a folder of its own
    "Starting from v1.9.0, `tensorboardX`.*",  # metrics.csv is enough
    "No seed found, seed set to.*",  # the next line says it
    "The ``compute`` method of metric CatMetric was called before.*",  # of successes, where a task defines none
)
"""Warnings of Lightning that require nothing of the user."""
_UNINFORMATIVE = (
    *("litlogger", "litmodels", "GPU available: False", "TPU available: False", "HPU available: False"),
    "Restoring states from the checkpoint path",  # another line says that it was done
)
"""Messages of Lightning that say nothing to a user, or advertise."""


def about_settings(error: BaseException) -> str | None:
    """Return the sentence for an error that the user can correct; None for one of ours.

    The user's are our own MemUPError, and what Lightning, torch's optimizers, W&B and MLflow raise about their settings.

    Args:
        error: what ended the command. jsonargparse wraps what a class raises, so its causes count too.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, MemUPError | MisconfigurationException):
            return str(cause)
        if (asked := _out_of_memory(cause)) is not None:
            return (
                f"out of memory{asked}: an update holds lanes x chunk_length steps, an evaluation evaluation_lanes x "
                "evaluation_chunk_length, and files are read whole; lower what is large of these, or use fewer units"
            )
    for cause in causes:
        raised_in = _module_of(cause)
        place = next(
            (key for package, key in _KEYS_OF_PACKAGES.items() if f"{raised_in}.".startswith(f"{package}.")), None
        )
        settings = isinstance(cause, _SETTINGS_ERRORS) or raised_in.startswith(("wandb", "mlflow"))
        lightning = raised_in.startswith(("pytorch_lightning", "lightning_fabric"))
        if place is not None and (settings or (lightning and _is_refusal(cause))):
            return f"{place}{' '.join(str(cause).split())}"
        if found := re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(cause)):
            return f"{found[1]} has no argument {found[2]!r}; remove it from dict_kwargs"
    return None


def end_with(sentence: str, error: BaseException) -> NoReturn:
    """Print the sentence for an error that the user can correct, and end the program with status 2."""
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr)
    raise SystemExit(2) from error


def format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning; of ours the sentence alone, since a line of our code says nothing to a user."""
    place = "" if "/memup_lightning/" in Path(filename).as_posix() else f"{filename}:{lineno}: "
    return f"{place}warning: {message}\n"


def _out_of_memory(error: BaseException) -> str | None:
    """Return what memory was asked for in vain, as the end of a clause; None of another error."""
    text = str(error)
    if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not re.search(
        r"can't allocate memory|not enough memory: you tried", text
    ):
        return None
    found = re.search(r"allocate (\d[\d.]* (?:bytes|[KMGTP]iB))", text)
    return f" ({found[1]} were asked for)" if found else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_refusal(error: BaseException) -> bool:
    """Whether a statement ``raise`` made the error, so that its message is meant to be read."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and (frames[-1].line or "").startswith("raise ")


def _module_of(error: BaseException) -> str:
    """Return the module whose code raised an error; not pydantic, which checks W&B's settings."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [str(frame.f_globals.get("__name__", "")) for frame in frames]
    return next((name for name in reversed(modules) if not name.startswith("pydantic")), "")


def leave_out_noise() -> None:
    """Keep back the warnings and messages of Lightning that require nothing of the user."""
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in _UNINFORMATIVE)
