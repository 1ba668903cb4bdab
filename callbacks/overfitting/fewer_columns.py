"""FewerColumns: a run that memorizes a table reads the columns alone on which its predictions depend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import Trainer
from torch import Tensor

from memup_lightning.callbacks.overfitting.column_use import (
    FEW_COLUMNS,
    MUCH_FEWER,
    can_leave_out,
    leaves_out,
    read_only,
    used_columns,
)
from memup_lightning.models.eval_mode import eval_mode, restored_rng
from memup_lightning.modules import MemoryTask
from memup_lightning.runs.parts import recorded_data
from memup_lightning.user_warnings import warn_user


def warn_of_left_out(model: Any) -> None:
    """Say where the weights that a run begins with are of one that left out columns."""
    if isinstance(model, MemoryTask) and leaves_out(model):
        warn_user(
            "the model that the run begins with left out columns of its training data, and does not read them here either: "
            "train a new one where they should be read"
        )


@dataclass
class FewerColumns:
    """Columns of a table that are left out where they are memorized.

    A column that has nothing to do with the outcome is a way to know one training episode from another. So the columns on
    which predictions of validation episodes depend are measured
    (:func:`~memup_lightning.callbacks.overfitting.column_use.used_columns`), with the best weights and with those of now,
    which may have learned of one more. Where those are much fewer than all, memory and predictor read no others from then
    on. It is done once a run, where memory and predictor have a :class:`~memup_lightning.models.encoders.StepEncoder`.

    Attributes:
        columns: that are read since; empty: all.
        begun: update since which they are.
        tried: whether they were measured.
    """

    columns: tuple[str, ...] = ()
    begun: int = 0
    tried: bool = False

    def leave_out(self, trainer: Trainer, model: Any, weights: dict[str, Tensor], updates: int) -> bool:
        """Go back to the best weights, and read the columns alone that count, where these are much fewer than all; to be
        called on every rank.

        Args:
            trainer: of the run.
            model: its model.
            weights: of the best validation.
            updates: at which that was.

        Returns:
            Whether the run went back.
        """
        if not self.choose(trainer, model, weights):
            return False
        model.go_back(weights)
        self.apply(model)
        self.announce(
            trainer,
            f"validation episodes are explained less than at update {updates:,}: the run goes back to the weights of then",
        )
        return True

    def choose(self, trainer: Trainer, model: Any, weights: dict[str, Tensor]) -> bool:
        """Measure the columns, and keep those that count where these are much fewer than all, to be applied; once a run,
        and to be called on every rank.

        Args:
            trainer: of the run.
            model: its model, which has the same weights afterwards.
            weights: of the best validation; they are measured with these and with those of now.

        Returns:
            Whether some are left out from now on.
        """
        data = recorded_data(trainer)
        if self.tried or not isinstance(model, MemoryTask) or data is None or "val" not in data.splits:
            return False
        self.tried, columns = True, data.table_columns
        if len(columns) <= FEW_COLUMNS or not can_leave_out(model):
            return False
        used: tuple[str, ...] = ()
        if trainer.is_global_zero:
            now = {name: x.clone() for name, x in model.state_dict().items()}
            with eval_mode(model), restored_rng(model.device), trainer.precision_plugin.forward_context():
                later = used_columns(model, data.splits["val"], columns)
                model.load_state_dict(weights)
                used = used_columns(model, data.splits["val"], columns)
            model.load_state_dict(now)
            used += tuple(x for x in later if x not in used)
        used = trainer.strategy.broadcast(used)
        if not used or len(used) > MUCH_FEWER * len(columns):
            return False
        self.columns, self.begun = used, trainer.global_step
        return True

    def announce(self, trainer: Trainer, what: str) -> None:
        """Say what the run does, and which columns it reads from now on."""
        data = recorded_data(trainer)
        assert data is not None
        rank_zero_info(
            f"{what}, and reads only those of the {len(data.table_columns)} columns on which predictions of validation "
            f"episodes depend: {', '.join(self.columns)}"
        )

    def apply(self, model: Any) -> None:
        """Let a model read these columns alone, whose weights are of before it did."""
        if self.columns:
            read_only(model, self.columns)
