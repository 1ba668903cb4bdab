"""Parts of a run that callbacks use: its data, its targets, logging outside of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import Profiler

from memup_lightning.exceptions import MemUPError
from memup_lightning.protocols import ChunkLearner, ChunkSource, RunData

C = TypeVar("C", bound=Callback)


class TrainerParts(Protocol):
    """Attributes of every Trainer that Lightning sets without declaring them."""

    callbacks: list[Callback]
    datamodule: Any
    overfit_batches: int | float
    profiler: Profiler


def parts(trainer: Trainer) -> TrainerParts:
    """Return the trainer, with the types of attributes that it does not declare."""
    return cast(TrainerParts, trainer)


def is_dev_run(trainer: Trainer) -> bool:
    """Return whether ``fast_dev_run`` tries the code of a run, which then leaves nothing."""
    return bool(getattr(trainer, "fast_dev_run", False))


def leaves_files(trainer: Trainer) -> bool:
    """Return whether this rank writes the files of the run."""
    return trainer.is_global_zero and not is_dev_run(trainer)


def chunk_source(trainer: Trainer) -> ChunkSource:
    """Return the datamodule of a run that :func:`has_targets` has looked at."""
    source: ChunkSource = parts(trainer).datamodule
    return source


def recorded_data(trainer: Trainer) -> ChunkSource | None:
    """Return the datamodule, where it is one of recorded episodes."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, ChunkSource) else None


def find_callback(trainer: Trainer, type_: type[C]) -> C | None:
    """Return the first callback of a class among those of a trainer."""
    return next((callback for callback in parts(trainer).callbacks if isinstance(callback, type_)), None)


def run_data(trainer: Trainer) -> RunData | None:
    """Return the datamodule, if it is a :class:`~memup_lightning.protocols.RunData`."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, RunData) else None


def has_targets(callback: Callback, trainer: Trainer, module: LightningModule) -> bool:
    """Whether the run has targets for the callback to work on. A baseline's has none: there the callback does nothing, so
    that any config becomes a baseline.

    Raises:
        MemUPError: the module does not learn from chunks, or the data are no recorded episodes.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(module, ChunkLearner) or not isinstance(data, ChunkSource):
        raise MemUPError(
            f"{type(callback).__name__} works on MemUP with an EpisodeDataModule, not on {type(module).__name__} with "
            f"{type(data).__name__}; remove it from trainer.callbacks"
        )
    return module.needs_targets()


def log_now(trainer: Trainer, logged: Mapping[str, float]) -> None:
    """Log numbers to all loggers at the present update, and to the metrics that other callbacks read."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(logged), step=trainer.global_step)
    trainer.callback_metrics.update({name: torch.tensor(x, dtype=torch.float64) for name, x in logged.items()})
