"""BestWeights: callback that ends a run with the weights that explained validation episodes best, where its last do not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn

from memup_lightning.callbacks.overfitting.decline import BestValidation, Decline
from memup_lightning.callbacks.overfitting.fewer_columns import warn_of_left_out
from memup_lightning.callbacks.overfitting.growth import Growth
from memup_lightning.callbacks.overfitting.remedies import Remedies
from memup_lightning.exceptions import check_counts, counted
from memup_lightning.runs.checkpoints.lookup import KEPT_WEIGHTS
from memup_lightning.runs.limits import meets_a_threshold
from memup_lightning.runs.parts import is_dev_run

_TRAIN_GAIN = "train/memory_gain"


class BestWeights(Callback):
    """Callback that keeps the weights of the best validation, and what a run does by itself where it over-fits.

    The best validation has the lowest ``val/nll``, or else the highest memory gain. The run ends with its weights where the
    last ones explain less; before it comes to that there are remedies. :mod:`memup_lightning.callbacks.overfitting` shows
    the whole order. ``train/memory_gain`` of a validation is the mean of what was logged since the one before.

    The weights that it ends with are also written next to the checkpoints, as ``best_gain.ckpt``: ``--ckpt_path best``.
    Checkpoints to resume from hold the last weights, and the best ones in this callback's state. The command line adds one.

    Args:
        patience: over-fitted validations in a row after which the run stops, unless the trainer has an EarlyStopping.

    Attributes:
        written: ``best_gain.ckpt`` with the weights that the last run ended with; None where it was not written.
        restored: whether the last run ended with the best weights instead of its last ones.
        overfitted: whether its gain in training episodes was higher by as much as the gain had fallen, or had grown by a
            quarter since.
        stopping_reason_message: why this callback stopped the run; empty where it did not.
    """

    def __init__(self, patience: int = 10) -> None:
        super().__init__()
        check_counts(1, patience=patience)
        self.patience = patience
        self._clear()

    def _clear(self) -> None:
        self.restored = self.overfitted = False
        self.written: Path | None = None
        self.stopping_reason_message = ""
        self._best: BestValidation | None = None
        self._decline, self._growth, self._remedies = Decline(), Growth(), Remedies()
        self._train_gains: list[float] = []  # of the logging steps since the last validation
        self._seen = -1  # update of the last validation

    @property
    def best(self) -> tuple[int, float] | None:
        """Updates and gain of the best validation; None before the first one."""
        return None if self._best is None else (self._best.updates, self._best.gain)

    @property
    def metrics(self) -> dict[str, float]:
        """All that was logged at the best validation."""
        return {} if self._best is None else self._best.metrics

    @property
    def decay(self) -> float:
        """Weight decay of all matrices with which the run trains on; 0 before it has gone back."""
        return self._remedies.weight_decay.decay

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a table that the last weights read, where others are left out; else empty."""
        fewer = self._remedies.fewer_columns
        ended_before = self.restored and self._best is not None and self._best.updates <= fewer.begun
        return () if ended_before else fewer.columns

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is None:
            self._clear()
        self.restored, self.overfitted, self.written, self.stopping_reason_message = False, False, None, ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is None:
            warn_of_left_out(pl_module)
            self._remedies.second_start.remember(pl_module)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it
        if every and trainer.global_step % every == 0:
            gain = float(trainer.callback_metrics.get(_TRAIN_GAIN, math.nan))
            self._train_gains += [gain] if math.isfinite(gain) else []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking or trainer.global_step == self._seen:
            return
        logged = trainer.callback_metrics
        if "val/memory_gain" not in logged:
            return
        values = [float(logged.get(name, math.nan)) for name in ("val/memory_gain", "val/nll", _TRAIN_GAIN)]
        if self._train_gains:  # that of one chunk is noise where the outcome is rare
            values[-1], self._train_gains = math.fsum(self._train_gains) / len(self._train_gains), []
        gain, nll, train_gain = trainer.strategy.broadcast(values)  # all ranks decide alike
        self._seen = trainer.global_step
        self._compare(trainer, pl_module, gain, nll, train_gain)
        if reason := self._growth.observe(trainer, gain):
            self._stop(trainer, reason)

    def _compare(self, trainer: Trainer, model: LightningModule, gain: float, nll: float, train_gain: float) -> None:
        """Compare a validation with the best one, and do what follows."""
        best, second = self._best, self._remedies.second_start
        if math.isfinite(gain) and (best is None or second.new or best.is_beaten_by(gain, nll)):
            metrics = {name: float(x) for name, x in trainer.callback_metrics.items() if name.startswith("val/")}
            weights = {name: x.detach().to("cpu", copy=True) for name, x in model.state_dict().items()}
            best = self._best = BestValidation(trainer.global_step, gain, train_gain, metrics, weights)
            self._decline = Decline()
        elif best is not None:
            memorizes = self._decline.observe(best, gain, nll, train_gain, self.decay > 0)
            if second.is_behind(best.updates) and trainer.global_step < second.ends:
                self._decline.clear()
            elif not meets_a_threshold(trainer):
                self._remedies.where_less_is_explained(trainer, model, best, self._decline, memorizes)
            if self._decline.overfitted >= self.patience and not trainer.early_stopping_callbacks:
                self._stop(trainer, self._overfitting(best))
        if best is not None and not meets_a_threshold(trainer):
            self._remedies.where_nothing_is_explained(trainer, model, best, gain, train_gain)
            if second.new:  # the best weights explained nothing: the next validation's replace them
                self._decline.fallen = True
                self._decline.clear()
        if second.begun == trainer.global_step:
            self._growth = Growth()

    def _overfitting(self, best: BestValidation) -> str:
        return (
            f"validation episodes were best explained after {counted(best.updates, 'update')} (val/memory_gain was "
            f"{best.gain:.2f}), and clearly less, with a higher gain in training episodes, in "
            f"{counted(self._decline.overfitted, 'validation')} since: the run over-fits"
        )

    def _stop(self, trainer: Trainer, message: str) -> None:
        self.stopping_reason_message = message
        rank_zero_info(self.stopping_reason_message)
        trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not before: ModelCheckpoint writes last.ckpt when training ends, and a run resumes from the last weights.
        if is_dev_run(trainer) or self._best is None:
            return
        best, decline = self._best, self._decline
        self.restored = (decline.overfitted > 0 or decline.fallen) and not meets_a_threshold(trainer)
        self.overfitted = self.restored and (decline.overfitted > 0 or decline.apart)
        if self.restored:
            pl_module.load_state_dict(best.weights)
            value = f"nll was {best.nll:.4g}" if math.isfinite(best.nll) else f"memory_gain was {best.gain:.2f}"
            rank_zero_info(
                f"the run ends with the weights of update {best.updates:,}, when val/{value}, since the last ones "
                "explain less"
            )
        homes = [callback.dirpath for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
        if homes and homes[0]:
            self.written = Path(homes[0]) / KEPT_WEIGHTS
            trainer.save_checkpoint(self.written, weights_only=True)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": None if self._best is None else dict(vars(self._best)),
            "decline": dict(vars(self._decline)),
            "growth": dict(vars(self._growth)),
            "remedies": self._remedies.state_dict(),
            "train_gains": list(self._train_gains),
            "seen": self._seen,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self._best = None if best is None else BestValidation(**best)
        self._decline, self._growth = Decline(**state_dict["decline"]), Growth(**state_dict["growth"])
        self._remedies.load_state_dict(state_dict["remedies"])
        self._train_gains, self._seen = list(state_dict["train_gains"]), state_dict["seen"]
