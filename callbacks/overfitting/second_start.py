"""SecondStart: a run that memorizes begins again with its first weights, led by the outcomes of own steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeGuard

from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import Trainer
from torch import Tensor

from memup_lightning.callbacks.overfitting import thresholds as at
from memup_lightning.modules import MemUP

MEMORIZED = "the targets of training episodes are memorized"


def own_steps_can_lead(model: Any, share: float = at.OWN_SHARE) -> TypeGuard[MemUP]:
    """Return whether a model learns from the outcomes of the steps that a chunk shows, and a share of those is uncertain;
    to be called on every rank."""
    return isinstance(model, MemUP) and model.needs_own_steps() and model.own_share() >= share


def has_time(trainer: Trainer) -> bool:
    """Return whether enough of a run is still to come for another start."""
    return not 0 < (1 - at.TIME_LEFT) * trainer.max_steps < trainer.global_step


@dataclass
class SecondStart:
    """Second start of a run that memorizes its targets.

    A target lies ahead, and much of what decides it may still be to come: the memory of today can know it only by
    distinguishing training episodes. Where a few hundred episodes have many columns, or a few dozen a few, that is learned
    before what holds in others, and weights that have learned it do not forget it. The outcomes of own steps do not ask
    for it. So the run begins again with its first weights (the local predictor keeps what it learned), and targets count
    little. Where that explains nothing, the run begins once more, with targets as before: what was shown once long ago is
    learned by targets alone.

    Attributes:
        starts: how often the run has begun; 3 too where a second start has ended without another.
        new: whether no validation came since the last start, and nothing was explained before it.
        begun: update of the last start.
        apart: validations in a row that explain the targets of training episodes alone.
        first: weights with which the run began; empty: it cannot begin again.
    """

    starts: int = 1
    new: bool = False
    begun: int = 0
    apart: int = 0
    first: dict[str, Tensor] = field(default_factory=dict)

    @property
    def target_weight(self) -> float:
        """Weight of the loss of targets since the last start."""
        return at.SECOND_START_TARGETS if self.starts == 2 else 1.0

    def remember(self, model: Any) -> None:
        """Keep the weights that a model begins with, but for those of its local predictor. Its targets count in full,
        though the weights may be of a run in which they did not."""
        if isinstance(model, MemUP):
            model.target_weight.fill_(self.target_weight)
            if model.needs_own_steps():
                weights = model.state_dict().items()
                self.first = {
                    name: x.detach().to("cpu", copy=True) for name, x in weights if not name.startswith("local.")
                }

    def memorizes(self, gain: float, train_gain: float) -> bool:
        """Take note of a validation before which nothing was explained, and return whether training targets alone are.

        Args:
            gain: of the targets of validation episodes, in bits.
            train_gain: of those of training episodes, in bits.
        """
        apart = train_gain - gain if gain < 0 < train_gain else 0.0
        self.apart = self.apart + 1 if apart > at.APART else 0
        return self.apart > 1 or apart > at.FAR_APART

    @property
    def ends(self) -> int:
        """Updates until which a second start has time."""
        return self.begun + max(at.LEAST, at.TIMES * self.begun)

    def is_behind(self, best: int) -> bool:
        """Return whether there is a second start that was not better yet than what came before it.

        Args:
            best: updates of the best validation.
        """
        return self.starts == 2 and best <= self.begun

    def begin(self, trainer: Trainer, model: MemUP, why: str) -> None:
        """Begin the run again: led by own steps, or, the next time, as it began."""
        self.starts += 1
        self.go_to_first_weights(trainer, model)
        if self.starts == 2:
            how = f"the outcomes of the steps that a chunk shows lead, and targets count {self.target_weight}"
        else:
            self.first, how = {}, "targets count as before"
        rank_zero_info(f"{why}: at update {self.begun:,} the run begins again with its first weights, and {how}")

    def go_to_first_weights(self, trainer: Trainer, model: MemUP) -> None:
        """Give the model the weights that it began with."""
        self.begun, self.apart = trainer.global_step, 0
        model.go_back(model.state_dict() | self.first)
        model.target_weight.fill_(self.target_weight)
