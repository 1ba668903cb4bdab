"""When the gain of a run last grew, and whether a run that nothing else ends is over."""

from __future__ import annotations

import math
from typing import Any

from pytorch_lightning import Trainer

from memup_lightning.exceptions import counted
from memup_lightning.runs.limits import is_unlimited
from memup_lightning.user_warnings import option

_GROWTH, _RELATIVE_GROWTH = 0.01, 0.01  # bits, and share of the gain, by which it must grow to count as growth
_WAIT = 5000  # updates without growth, at least, before a run without a limit stops


class Growth:
    """Growth of the memory gain of validation episodes; part of
    :class:`~memup_lightning.callbacks.best_weights.BestWeights`.

    Attributes:
        updates: when the gain last grew.
        gain: of then, in bits.
    """

    def __init__(self) -> None:
        self.updates, self.gain = 0, -math.inf

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
        if self.gain == -math.inf or gain > self.gain + max(_GROWTH, _RELATIVE_GROWTH * abs(self.gain)):
            self.updates, self.gain = trainer.global_step, gain
        if trainer.global_step - self.updates < max(_WAIT, self.updates) or not is_unlimited(trainer):
            return ""
        return (
            f"val/memory_gain has not grown since {counted(self.updates, 'update')}, when it was {self.gain:.2f}, and the "
            f"run has no limit ({option('trainer.max_steps', 50_000)} would train on)"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "gain": self.gain}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.updates, self.gain = state_dict["updates"], state_dict["gain"]
