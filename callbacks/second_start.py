"""A second start of a run that memorizes: from its first weights, led by the outcomes of own steps."""

from __future__ import annotations

from typing import Any, TypeGuard

from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import Trainer
from torch import Tensor

from memup_lightning.callbacks.fewer_columns import FewerColumns
from memup_lightning.modules import MemUP

_APART, _FAR_APART = 0.1, 0.25  # bits by which the gain of validation episodes is lower: at two validations, or at one
_OWN_SHARE = 0.008  # of the steps of a chunk whose own outcomes count: with fewer they cannot lead
_SURE_SHARE = 0.1  # where nothing was explained yet: the local predictor may take certain steps for uncertain ones
_WEIGHT = 0.02  # of the loss of targets at the second start
_TIMES, _LEAST = 3, 2000  # the second start has so many times the updates of the first one, and so many at least
_MEMORIZED = "the targets of training episodes are memorized"


def own_steps_can_lead(model: Any, share: float = _OWN_SHARE) -> TypeGuard[MemUP]:
    """Return whether a model learns from the outcomes of the steps that a chunk shows, and a share of those, by default
    one in 125, is uncertain; to be called on every rank."""
    return isinstance(model, MemUP) and model.needs_own_steps() and model.own_share() >= share


class SecondStart:
    """Second start of a run that memorizes its targets; part of
    :class:`~memup_lightning.callbacks.best_weights.BestWeights`.

    A target lies ahead, and much of what decides it may still be to come: the memory of today can know it only by
    distinguishing training episodes. Where a few hundred episodes have many columns, or a few dozen a few, that is learned
    before what holds in others, and weights that have learned it do not forget it. The outcomes of own steps do not ask
    for it. So the run begins again with its first weights (the local predictor keeps what it learned), and targets count a
    fiftieth:

    - where the targets of training episodes are explained, those of validation episodes less than without memory, and the
      evaluated steps not at all, if a tenth of the steps has an outcome of its own that is uncertain, and not one in a
      thousand. Where the same is seen in the second start of a table, the run begins again with the columns alone that
      count, where they are fewer (:class:`~memup_lightning.callbacks.fewer_columns.FewerColumns`). Where the second start
      explains nothing, in three times as many updates, the run begins once more, with targets and columns as before: what
      was shown once long ago is learned by targets alone;
    - where what was explained of the evaluated steps is lost in validation episodes alone, if one in 125 of the
      steps has such an outcome. The best weights of before are kept, and return where the second start, in three times as
      many updates, does not explain more.

    It does not in the last third of a run.

    Args:
        fewer: columns of a table that are left out.

    Attributes:
        starts: how often the run has begun.
        new: whether no validation came since the last start, and nothing was explained before it.
    """

    def __init__(self, fewer: FewerColumns) -> None:
        self._fewer = fewer
        self._first: dict[str, Tensor] = {}
        self.starts, self.new = 1, False
        self._begun = 0  # update of the last start
        self._apart = 0  # validations in a row

    @property
    def target_weight(self) -> float:
        """Weight of the loss of targets since the last start."""
        return _WEIGHT if self.starts == 2 else 1.0

    def remember(self, model: Any) -> None:
        """Keep the weights that a model begins with, but for those of its local predictor. Its targets count in full,
        though the weights may be of a run in which they did not."""
        if isinstance(model, MemUP):
            model.target_weight.fill_(self.target_weight)
            if model.needs_own_steps():
                weights = model.state_dict().items()
                self._first = {
                    name: x.detach().to("cpu", copy=True) for name, x in weights if not name.startswith("local.")
                }

    def observe(
        self,
        trainer: Trainer,
        model: Any,
        gain: float,
        train_gain: float,
        explains: bool,
        weights: dict[str, Tensor],
    ) -> None:
        """Take note of a validation, and let the run begin again where it should; to be called on every rank.

        Args:
            trainer: of the run.
            model: its model.
            gain: of the targets of validation episodes, in bits.
            train_gain: of those of training episodes, in bits.
            explains: whether the best weights explain something of the evaluated steps.
            weights: of the best validation.
        """
        self.new = False
        if explains or not self._first or not isinstance(model, MemUP):
            self._apart = 0
            return
        apart = train_gain - gain if gain < 0 < train_gain else 0.0
        self._apart = self._apart + 1 if apart > _APART else 0
        memorizes = self._apart > 1 or apart > _FAR_APART
        if self.starts == 1 and memorizes and _has_time(trainer) and own_steps_can_lead(model, _SURE_SHARE):
            self._begin(model, trainer, f"{_MEMORIZED}, and nothing else is explained")
        elif self.starts == 2 and memorizes and self._fewer.choose(trainer, model, weights):
            self._begin_with_fewer(model, trainer)
        elif self.starts == 2 and _has_time(trainer) and trainer.global_step >= self._ends:
            self._fewer.read_all()
            self._begin(model, trainer, "nothing is explained by the outcomes of the steps that a chunk shows either")
        self.new = self._begun == trainer.global_step

    def begin_again(self, trainer: Trainer, model: Any) -> bool:
        """Begin again after something was explained, where that is possible; to be called on every rank.

        Returns:
            Whether the run began again.
        """
        if self.starts > 1 or not self._first or not _has_time(trainer) or not own_steps_can_lead(model):
            return False
        self._begin(model, trainer, f"{_MEMORIZED}, and validation episodes are explained less")
        return True

    def catches_up(self, updates: int, best: int) -> bool:
        """Return whether the second start has not been better than what came before it, and still has time to be.

        Args:
            updates: of now.
            best: updates of the best validation.
        """
        return self.starts == 2 and best <= self._begun and updates < self._ends

    def give_up(self, updates: int, best: int) -> bool:
        """End a second start whose time is over, and which has not been better than what came before it.

        Args:
            updates: of now.
            best: updates of the best validation.

        Returns:
            Whether it ended; once a run.
        """
        if not self._first or self.starts != 2 or best > self._begun or updates < self._ends:
            return False
        self.starts, self._first = 3, {}
        return True

    @property
    def _ends(self) -> int:
        """Updates until which a second start has time."""
        return self._begun + max(_LEAST, _TIMES * self._begun)

    def _begin(self, model: MemUP, trainer: Trainer, why: str) -> None:
        self.starts += 1
        self._go_to_first_weights(model, trainer)
        if self.starts == 2:
            how = f"the outcomes of the steps that a chunk shows lead, and targets count {_WEIGHT}"
        else:
            self._first, how = {}, "targets count as before"
        rank_zero_info(f"{why}: at update {self._begun:,} the run begins again with its first weights, and {how}")

    def _begin_with_fewer(self, model: MemUP, trainer: Trainer) -> None:
        """Begin the second start once more, with the columns alone that count."""
        self._go_to_first_weights(model, trainer)
        self._fewer.apply(model)
        rank_zero_info(
            f"{_MEMORIZED}, and nothing else is explained: at update {self._begun:,} the run begins again with its first "
            f"weights, and reads only {self._fewer.named(trainer)}"
        )

    def _go_to_first_weights(self, model: MemUP, trainer: Trainer) -> None:
        self._begun, self._apart = trainer.global_step, 0
        model.go_back(model.state_dict() | self._first)
        model.target_weight.fill_(self.target_weight)

    def state_dict(self) -> dict[str, Any]:
        numbers = {"starts": self.starts, "new": self.new, "begun": self._begun, "apart": self._apart}
        return {"first": self._first, **numbers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._first, self.starts, self.new = dict(state_dict["first"]), state_dict["starts"], state_dict["new"]
        self._begun, self._apart = state_dict["begun"], state_dict["apart"]


def _has_time(trainer: Trainer) -> bool:
    """Return whether a third of a run is still to come."""
    return not 0 < 2 * trainer.max_steps < 3 * trainer.global_step
