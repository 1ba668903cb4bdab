"""Remedies: what a run that over-fits tries, and in which order."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer

from memup_lightning.callbacks.overfitting import thresholds as at
from memup_lightning.callbacks.overfitting.decline import BestValidation, Decline
from memup_lightning.callbacks.overfitting.fewer_columns import FewerColumns
from memup_lightning.callbacks.overfitting.second_start import MEMORIZED, SecondStart, has_time, own_steps_can_lead
from memup_lightning.callbacks.overfitting.weight_decay import WeightDecay
from memup_lightning.modules import MemUP


class Remedies:
    """Second start, fewer columns, weight decay, in the order that :mod:`memup_lightning.callbacks.overfitting` shows."""

    def __init__(self) -> None:
        self.second_start, self.weight_decay, self.fewer_columns = SecondStart(), WeightDecay(), FewerColumns()

    def where_less_is_explained(
        self, trainer: Trainer, model: LightningModule, best: BestValidation, decline: Decline, memorizes: bool
    ) -> None:
        """Take the next remedy after a validation that is not better than the best one; to be called on every rank.

        Args:
            trainer: of the run.
            model: its model.
            best: the best validation.
            decline: what was seen since; its counts begin again where a remedy is taken.
            memorizes: whether training episodes are explained as well as at the best validation.
        """
        second, tried = self.second_start, self.weight_decay.decay > 0 or self.second_start.starts > 1
        memorizing = decline.is_certain(decline.memorizing)
        if best.explains_something and second.first and second.is_behind(best.updates):
            second.starts, second.first = 3, {}
            self._go_back(trainer, model, best, decline, memorizes=True)
        elif (
            tried
            and decline.is_certain(decline.lower)
            and self.fewer_columns.leave_out(trainer, model, best.weights, best.updates)
        ):
            decline.clear()
        elif memorizing and not tried and second.first and has_time(trainer) and own_steps_can_lead(model):
            second.begin(trainer, model, f"{MEMORIZED}, and validation episodes are explained less")
            decline.clear()
        elif memorizing:
            self._go_back(trainer, model, best, decline, memorizes)

    def _go_back(
        self, trainer: Trainer, model: LightningModule, best: BestValidation, decline: Decline, memorizes: bool
    ) -> None:
        if self.weight_decay.go_back(trainer, model, best, memorizes, self.second_start.target_weight):
            self.fewer_columns.apply(model)
            decline.memorizing = decline.overfitted = 0  # what is lower counts on: columns may be left out next

    def where_nothing_is_explained(
        self, trainer: Trainer, model: LightningModule, best: BestValidation, gain: float, train_gain: float
    ) -> None:
        """Let a run begin again that explains nothing but the targets of training episodes; to be called on every rank at
        each validation.

        Args:
            trainer: of the run.
            model: its model.
            best: the best validation.
            gain: of the targets of validation episodes, in bits.
            train_gain: of those of training episodes, in bits.
        """
        second, nothing_else = self.second_start, f"{MEMORIZED}, and nothing else is explained"
        second.new = False
        if best.explains_something or not second.first or not isinstance(model, MemUP):
            second.apart = 0
            return
        memorizes, in_time = second.memorizes(gain, train_gain), has_time(trainer)
        if second.starts == 1 and memorizes and in_time and own_steps_can_lead(model, at.SURE_SHARE):
            second.begin(trainer, model, nothing_else)
        elif second.starts == 2 and memorizes and self.fewer_columns.choose(trainer, model, best.weights):
            second.go_to_first_weights(trainer, model)
            self.fewer_columns.apply(model)
            self.fewer_columns.announce(
                trainer, f"{nothing_else}: at update {second.begun:,} the run begins again with its first weights"
            )
        elif second.starts == 2 and in_time and trainer.global_step >= second.ends:
            self.fewer_columns.columns = ()
            second.begin(trainer, model, "nothing is explained by the outcomes of the steps that a chunk shows either")
        second.new = second.begun == trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        return {name: dict(vars(part)) for name, part in vars(self).items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, part in vars(self).items():
            part.__dict__.update(state_dict[name])
