"""Hooks of validation and test."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from memup_lightning.modules.base import BaseTask


class EvaluationHooks(BaseTask):
    """Hooks of Lightning's validation and test, as three methods."""

    @abstractmethod
    def start_evaluation(self) -> None:
        """Reset all metrics."""

    @abstractmethod
    def evaluate(self, batch: Any) -> None:
        """Measure on a batch."""

    @abstractmethod
    def end_evaluation(self, stage: str) -> None:
        """Log what was measured; ``stage`` is ``val`` or ``test``."""

    def on_validation_epoch_start(self) -> None:
        self.start_evaluation()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self.end_evaluation("val")

    def on_test_epoch_start(self) -> None:
        self.start_evaluation()

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch)

    def on_test_epoch_end(self) -> None:
        self.end_evaluation("test")
