"""FewerColumns: a run that memorizes a table reads the columns alone on which its predictions depend."""

from __future__ import annotations

from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import Trainer
from torch import Tensor

from memup_lightning.callbacks.memory_usage import restored_rng
from memup_lightning.models.eval_mode import eval_mode
from memup_lightning.modules import MemoryTask
from memup_lightning.modules.column_use import (
    FEW_COLUMNS,
    MUCH_FEWER,
    can_leave_out,
    leaves_out,
    read_only,
    used_columns,
)
from memup_lightning.runs.parts import recorded_data
from memup_lightning.user_warnings import warn_user


def warn_of_left_out(model: Any) -> None:
    """Say where the weights that a run begins with are of one that left out columns."""
    if isinstance(model, MemoryTask) and leaves_out(model):
        warn_user(
            "the model that the run begins with left out columns of its training data, and does not read them here either: "
            "train a new one where they should be read"
        )


class FewerColumns:
    """Columns of a table that are left out where they are memorized; part of
    :class:`~memup_lightning.callbacks.best_weights.BestWeights`.

    A column that has nothing to do with the outcome is a way to know one training episode from another. When the run has
    learned something of other episodes, and loses it in spite of weight decay or of a second start, or when a second start
    learns nothing of them, the columns on which its predictions of validation episodes depend are measured
    (:func:`~memup_lightning.modules.column_use.used_columns`), with the best weights and with those of now, which may have
    learned of one more. Where those are two thirds of all or fewer, memory and predictor read no others from then on;
    targets count as they did at the best weights. It is done once a run, of tables with more than four columns, where
    memory and predictor have a :class:`~memup_lightning.models.encoders.StepEncoder`.

    Attributes:
        columns: that are read since; empty: all.
        begun: update since which they are.
        tried: whether they were measured.
    """

    def __init__(self) -> None:
        self.columns: tuple[str, ...] = ()
        self.begun = 0
        self.tried = False

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
        rank_zero_info(
            f"validation episodes are explained less than at update {updates:,}: the run goes back to the weights of then, "
            f"and reads only {self.named(trainer)}"
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
            with eval_mode(model), restored_rng(model), trainer.precision_plugin.forward_context():
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

    def named(self, trainer: Trainer) -> str:
        """Return what is read, for a message."""
        data = recorded_data(trainer)
        assert data is not None
        return (
            f"those of the {len(data.table_columns)} columns on which predictions of validation episodes depend: "
            f"{', '.join(self.columns)}"
        )

    def read_all(self) -> None:
        """Leave out none: the weights that follow are of before."""
        self.columns = ()

    def apply(self, model: Any) -> None:
        """Let a model read these columns alone, whose weights are of before it did."""
        if self.columns:
            read_only(model, self.columns)

    def state_dict(self) -> dict[str, Any]:
        return {"columns": self.columns, "begun": self.begun, "tried": self.tried}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.columns = tuple(state_dict["columns"])
        self.begun, self.tried = state_dict["begun"], state_dict["tried"]
