"""When the gain of a run last grew, and whether a run that nothing else ends is over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytorch_lightning import Trainer

from memup_lightning.callbacks.overfitting import thresholds as at
from memup_lightning.exceptions import counted
from memup_lightning.runs.limits import is_unlimited
from memup_lightning.user_warnings import option


@dataclass
class Growth:
    """Growth of the memory gain of validation episodes.

    Attributes:
        updates: when the gain last grew.
        gain: of then, in bits.
    """

    updates: int = 0
    gain: float = -math.inf

    def observe(self, trainer: Trainer, gain: float) -> str:
        """Take note of a validation.

        Args:
            trainer: of the run.
            gain: in bits; one that is no number does not count.

        Returns:
            Why the run should stop; empty where it should not.
        """
        if not math.isfinite(gain):
            return ""
        if self.gain == -math.inf or gain > self.gain + max(at.GROWTH, at.RELATIVE_GROWTH * abs(self.gain)):
            self.updates, self.gain = trainer.global_step, gain
        if trainer.global_step - self.updates < max(at.WAIT, self.updates) or not is_unlimited(trainer):
            return ""
        return (
            f"val/memory_gain has not grown since {counted(self.updates, 'update')}, when it was {self.gain:.2f}, and the "
            f"run has no limit ({option('trainer.max_steps', 50_000)} would train on)"
        )
