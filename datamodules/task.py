"""BaseDataModule: base class of datamodules, from whose task the command line builds a model."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Self

from pytorch_lightning import LightningDataModule

from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.checkpoints.trust import check_names
from memup_lightning.specs import TaskSpec
from memup_lightning.user_warnings import option


class BaseDataModule(LightningDataModule, ABC):
    """Base class of datamodules with a task; a model is built from the task."""

    _trained: Callable[[], Any] = staticmethod(lambda: None)  # the model of the last fit

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Build a datamodule from a checkpoint, whose names are checked first; see Lightning's method of this name.

        Raises:
            MemUPError: the checkpoint names a class that is not trusted.
        """
        weights_only = check_names(checkpoint_path, weights_only)
        return super().load_from_checkpoint(checkpoint_path, map_location, hparams_file, weights_only, **kwargs)

    def __str__(self) -> str:
        """Return the name of the class: Lightning's text asks every loader for its length, which may play or read."""
        return type(self).__name__

    steps_name = "environment steps"
    """What :meth:`num_environment_steps` counts, in the table at the end of a run."""

    @property
    @abstractmethod
    def task(self) -> TaskSpec:
        """Inputs of memory and predictor, and the outcome; known before any episode is read."""

    def use_task(self, task: TaskSpec) -> None:
        """Take from the task of a trained model what its numbers mean: classes, columns, means. Data that always mean the
        same have no use for it. Called before anything is read."""

    @property
    def _model(self) -> Any:
        """Module of the run; None without one."""
        return None if self.trainer is None else self.trainer.lightning_module

    def _trained_task(self) -> TaskSpec | None:
        """Return the task of the module of the run."""
        task = getattr(self._model, "task", None)
        return task if isinstance(task, TaskSpec) else None

    def begin_if_another_model(self, stage: str) -> None:
        """Call :meth:`forget_run` where a fit begins with another model than the fit before; first thing in ``setup``."""
        module = self._model
        if stage == "fit" and module is not None and module is not self._trained():
            self.forget_run()
            self._trained = weakref.ref(module)

    def forget_run(self) -> None:
        """Begin as a fresh datamodule does: another model must not continue where the one before was."""

    @property
    def label(self) -> str:
        """Name of the data in results."""
        return type(self).__name__.removesuffix("DataModule")

    def describe(self) -> dict[str, str]:
        """Return what a run on the data says about them before it begins: name of a row, text."""
        task = self.task
        reads = (f"{name} ({task.fields[name]})" for name in task.inputs)
        return {"data": self.label, "the memory reads": ", ".join(reads), "outcome": str(task.outcome)}

    def check_ranks(self, num_ranks: int) -> None:
        """Refuse a number of ranks that cannot share the training data evenly; called before the ranks are started.

        Raises:
            MemUPError: the lanes or environments cannot be split evenly.
        """

    def predict_on(self, data: str) -> None:
        """Choose what ``predict`` predicts: a split, or new data; called before anything is read.

        Raises:
            MemUPError: data that it cannot read.
        """
        if data != "test":
            given = option("on", data, f"predict_on({data!r})")
            raise MemUPError(f"{given}: {type(self).__name__} predicts its test episodes only; leave it out")

    def num_environment_steps(self) -> int | None:
        """Return the steps that the run learns from, or has played so far; None where that is not known."""
        return None
