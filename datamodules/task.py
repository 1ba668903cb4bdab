"""BaseDataModule: what the command line asks of data, whatever they are."""

from __future__ import annotations

from abc import ABC, abstractmethod

from pytorch_lightning import LightningDataModule

from memup_lightning.runs.trust import CheckedLoading
from memup_lightning.specs import TaskSpec


class BaseDataModule(CheckedLoading, LightningDataModule, ABC):  # type: ignore[misc]
    """Data that say what is to be learned from them: a model is built from their task."""

    @property
    @abstractmethod
    def task(self) -> TaskSpec:
        """What memory and predictor see, and what the outcome is; known before any episode is read."""

    @property
    def label(self) -> str:
        """What the data are, as results name it."""
        return type(self).__name__.removesuffix("DataModule")

    def check_ranks(self, num_ranks: int) -> None:
        """Refuse a number of ranks that cannot share the training data evenly; called before the ranks are started.

        Raises:
            MemUPError: the lanes or environments cannot be split evenly.
        """

    def num_environment_steps(self) -> int | None:
        """Return the steps that the run learns from, or has played so far; None where that is not known."""
        return None
