"""BestWeights: callback that ends a run with the weights that explained validation episodes best, where its last do not."""

from __future__ import annotations

import math
from copy import copy
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from memup_lightning.callbacks.decline import Decline, is_certain
from memup_lightning.callbacks.fewer_columns import FewerColumns, warn_of_left_out
from memup_lightning.callbacks.growth import Growth
from memup_lightning.callbacks.second_start import SecondStart, own_steps_can_lead
from memup_lightning.exceptions import check_counts, counted
from memup_lightning.modules import MemUP
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT
from memup_lightning.modules.optimization.optimizers import MemoryAdam
from memup_lightning.modules.weight_average import AveragedTask
from memup_lightning.runs.checkpoints.lookup import KEPT_WEIGHTS
from memup_lightning.runs.limits import meets_a_threshold
from memup_lightning.runs.parts import is_dev_run

_MARGIN, _RELATIVE_MARGIN = 0.1, 0.25  # bits, and share of the best gain, that are lost by more than chance
_LOSS = 0.05  # share of what is explained at the evaluated steps whose loss, twice in a row, makes the run go back
_LITTLE = 0.02  # share of it whose loss at the end brings the best weights back
_SOMETHING, _RELATIVE_SOMETHING = 0.01, 0.02  # nats, or of classes a share of local_nll: explained before it goes back
_DECAYS = (0.3, 1.0)  # of all matrices, in learning rates, when the run goes back for the first and the second time
_TARGET_WEIGHTS = {0.0: 1.0, 0.3: 0.1, 1.0: 0.01}  # of the loss of targets, with each decay, where own steps can lead
_TRAIN_GAIN = "train/memory_gain"
_STATE = ["best", "metrics", "decay", "_weights", "_gave_up", "_seen"]
_STATE += ["_train_gain", "_train_gains", "_fallen", "_apart"]


class BestWeights(Callback):
    """Callback that keeps the weights of the best validation: of the lowest ``val/nll``, or else the highest memory gain.

    The NLL is that of the evaluated steps, which stay the same. The gain is that of the targets, which become harder, and
    among which there may be noise: a memory that also memorizes coin tosses of the training episodes explains less of
    them in validation episodes, and may know more of what counts.

    What is explained is ``val/local_nll`` - ``val/nll``, or the gain where there is no NLL. A validation is *over-fitted*
    where a quarter of what the best one explained is lost (of the gain: 0.1 bits at least), and its gain is as far below
    ``train/memory_gain``, the gain in training episodes, and by 0.1 bits at least. That gain is the mean of what was
    logged since the validation before. After ``patience`` over-fitted validations in a row the run stops, unless the
    trainer has an EarlyStopping, which then decides. A run without any limit stops when the gain has not grown for as many
    updates as it took to get there, and for at least 5,000.

    Before it comes to that, there are remedies, where, by the NLL, a twentieth of what was explained is lost at two
    validations in a row, or a quarter at one, and training episodes are not explained less than at the best one, which
    explained something. If one step in 125 has an uncertain outcome of its own, the run begins again, and those
    outcomes lead (:class:`~memup_lightning.callbacks.second_start.SecondStart`; so does a run that explains nothing but
    the targets of training episodes). Else, or if as much is lost later, it goes back to the best weights, twice at
    most, and trains on with weight decay of all its matrices: of 0.3 learning rates, and then of 1.0. Weights that decay
    from the beginning learn more slowly, and cannot add up long sums. Targets then count a tenth, and a hundredth, if own
    outcomes can lead, and columns of a table may be left out
    (:class:`~memup_lightning.callbacks.fewer_columns.FewerColumns`). Where as much is lost again, and more of this is no
    remedy (it was tried, or training episodes are explained less too), the run goes back once more, and trains on as it
    began: a memory that must keep something for 10,000 steps does not learn under weight decay. So it does with the
    default optimizer, :class:`~memup_lightning.modules.optimization.optimizers.MemoryAdam`, and with no other.

    Where the last validation is over-fitted, or a fiftieth of what was explained is lost, the run ends with the best
    weights. Else it ends with the last ones, and always where they met the ``stopping_threshold`` of an EarlyStopping: they
    are what the run was to reach. The weights it ends with are also written next to the checkpoints, as ``best_gain.ckpt``:
    ``--ckpt_path best``. Checkpoints to resume from hold the last weights, and the best ones in this callback's state. The
    command line adds one.

    Args:
        patience: over-fitted validations in a row after which the run stops.

    Attributes:
        best: updates and gain of the best validation; None before the first one.
        metrics: all that was logged at the best validation.
        written: ``best_gain.ckpt`` with the weights that the last run ended with; None where it was not written.
        restored: whether the last run ended with the best weights instead of its last ones.
        overfitted: whether its gain in training episodes was higher by as much as the gain had fallen, or had grown by a
            quarter since.
        decay: weight decay of all matrices with which the run trains on; 0 before it has gone back.
        stopping_reason_message: why this callback stopped the run; empty where it did not.
    """

    def __init__(self, patience: int = 10) -> None:
        super().__init__()
        check_counts(1, patience=patience)
        self.patience = patience
        self._clear()

    def _clear(self) -> None:
        self.best: tuple[int, float] | None = None
        self.metrics: dict[str, float] = {}
        self.restored = self.overfitted = False
        self.written: Path | None = None
        self.stopping_reason_message = ""
        self._weights: dict[str, Tensor] = {}
        self.decay = 0.0
        self._gave_up = False  # whether weight decay was tried, and did not help
        self._train_gain = math.nan  # of the best validation
        self._train_gains: list[float] = []  # of the logging steps since the last validation
        self._seen = -1  # update of the last validation
        self._fallen = False
        self._apart = False  # whether the gain in training episodes was higher by as much, or grew
        self._fewer, self._growth, self._decline = FewerColumns(), Growth(), Decline()
        self._second = SecondStart(self._fewer)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a table that the last weights read, where others are left out; else empty."""
        ended_before = self.restored and self.best is not None and self.best[0] <= self._fewer.begun
        return () if ended_before else self._fewer.columns

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is None:
            self._clear()
        self.restored, self.overfitted, self.written, self.stopping_reason_message = False, False, None, ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is None:
            warn_of_left_out(pl_module)
            self._second.remember(pl_module)

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
        gain, nll, train = trainer.strategy.broadcast(values)  # all ranks decide alike
        self._seen = trainer.global_step
        if math.isfinite(gain) and (self._second.new or self._is_better(gain, nll)):
            self.best, self._train_gain, self._fallen = (trainer.global_step, gain), train, False
            self._decline.clear()
            self.metrics = {name: float(x) for name, x in logged.items() if name.startswith("val/")}
            self._weights = {name: x.detach().to("cpu", copy=True) for name, x in pl_module.state_dict().items()}
        elif self.best is not None:
            much = _RELATIVE_MARGIN * abs(self.best[1])
            lost = self._lost(gain, nll)
            self._fallen = lost > _LITTLE and math.isfinite(nll)  # a gain falls with harder targets too
            much_lost = self._fallen and lost > _LOSS
            # Training episodes are measured at the ends of chunks, and may be explained less from there, but more and more.
            self._apart = gain < train - much or train > self._train_gain + _RELATIVE_MARGIN * abs(self._train_gain)
            overfitted = lost > _RELATIVE_MARGIN and gain < train - max(_MARGIN, much)
            lower = much_lost and self._explains_something()
            memorizes = lower and train >= self._train_gain
            memorizing = memorizes or (much_lost and self.decay > 0)
            self._decline.observe(lower=lower, memorizing=memorizing, overfitted=overfitted)
            if self._second.catches_up(trainer.global_step, self.best[0]):
                self._decline.clear()
            elif not meets_a_threshold(trainer):
                self._remedy(trainer, pl_module, lost, memorizes)
            if self._decline.overfitted >= self.patience and not trainer.early_stopping_callbacks:
                self._stop(trainer, self._overfitting())
        if self.best is not None and not meets_a_threshold(trainer):
            self._second.observe(trainer, pl_module, gain, train, self._explains_something(), self._weights)
            if self._second.new:  # the best weights explained nothing: the next validation's replace them
                self._fallen, self._growth = True, Growth()
                self._decline.clear()
        if reason := self._growth.observe(trainer, gain):
            self._stop(trainer, reason)

    def _remedy(self, trainer: Trainer, pl_module: LightningModule, lost: float, memorizes: bool) -> None:
        """Take the next remedy, where so large a share of what the best weights explained is lost that it is no chance."""
        assert self.best is not None
        best, _ = self.best
        tried = self.decay > 0 or self._second.starts > 1
        counts, much = self._decline, lost > _RELATIVE_MARGIN
        lower, memorizing = is_certain(counts.lower, much), is_certain(counts.memorizing, much)
        if self._explains_something() and self._second.give_up(trainer.global_step, best):
            self._go_back(trainer, pl_module, memorizes=True)
        elif tried and lower and self._fewer.leave_out(trainer, pl_module, self._weights, best):
            self._decline.clear()
        elif memorizing and not tried and self._second.begin_again(trainer, pl_module):
            self._decline.clear()
            self._growth = Growth()
        elif memorizing:
            self._go_back(trainer, pl_module, memorizes)

    def _is_better(self, gain: float, nll: float) -> bool:
        if self.best is None:
            return True
        known = self._nll
        return nll < known if math.isfinite(nll) and math.isfinite(known) else gain > self.best[1]

    @property
    def _nll(self) -> float:
        """NLL of the best validation; NaN where it logged none."""
        return self.metrics.get("val/nll", math.nan)

    def _lost(self, gain: float, nll: float) -> float:
        """Return the share that is lost of what the best weights explained at the evaluated steps, or at the targets."""
        assert self.best is not None
        best = self.best[1]
        if math.isfinite(worse := nll - self._nll):
            return worse / max(abs(self._explained()), 1e-12)
        return (best - gain) / max(abs(best), _MARGIN / _RELATIVE_MARGIN)

    def _explained(self) -> float:
        """Return what the best weights explain, in nats: at the evaluated steps, or else at the targets."""
        assert self.best is not None
        explained = self.metrics.get("val/local_nll", math.nan) - self._nll
        return explained if math.isfinite(explained) else self.best[1] / BITS_PER_NAT

    def _explains_something(self) -> bool:
        """Return whether the best weights explain more than noise of the training episodes, which is memorized first."""
        little = _SOMETHING
        # Of a rare class the NLL is small, however well it is known.
        if any(name.endswith("base_rate") for name in self.metrics):
            little = min(little, _RELATIVE_SOMETHING * self.metrics.get("val/local_nll", math.inf))
        return self._explained() > little

    def _go_back(self, trainer: Trainer, pl_module: LightningModule, memorizes: bool) -> None:
        """Train on from the best weights, with more weight decay and less weight of targets, or with neither where it did
        not help.

        Args:
            trainer: of the run.
            pl_module: its model.
            memorizes: whether training episodes are explained as well as at the best validation.
        """
        optimizer = trainer.optimizers[0]
        if self._gave_up or not (isinstance(optimizer, MemoryAdam) and isinstance(pl_module, AveragedTask)):
            return
        stronger = [x for x in _DECAYS if memorizes and x > self.decay]
        if not stronger and not self.decay:
            return
        assert self.best is not None
        self._gave_up = not stronger
        self.decay = stronger[0] if stronger else 0.0
        self._decline.memorizing = self._decline.overfitted = 0  # what is lower counts on: columns may be left out next
        optimizer.decay_memory(self.decay)
        pl_module.go_back(self._weights)
        self._fewer.apply(pl_module)
        how = f"with a weight decay of {self.decay}" if stronger else "without weight decay, which did not help"
        if isinstance(pl_module, MemUP) and (not stronger or own_steps_can_lead(pl_module)):
            weight = _TARGET_WEIGHTS[self.decay] * self._second.target_weight
            pl_module.target_weight.fill_(weight)
            how += f"; targets count {weight:g}" if stronger else ""
        rank_zero_info(
            f"validation episodes are explained less than at update {self.best[0]:,}: the run goes back to the weights "
            f"of then, and trains on {how}"
        )

    def _overfitting(self) -> str:
        assert self.best is not None
        return (
            f"validation episodes were best explained after {counted(self.best[0], 'update')} (val/memory_gain was "
            f"{self.best[1]:.2f}), and clearly less, with a higher gain in training episodes, in "
            f"{counted(self._decline.overfitted, 'validation')} since: the run over-fits"
        )

    def _stop(self, trainer: Trainer, message: str) -> None:
        self.stopping_reason_message = message
        rank_zero_info(self.stopping_reason_message)
        trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not before: ModelCheckpoint writes last.ckpt when training ends, and a run resumes from the last weights.
        if is_dev_run(trainer) or self.best is None:
            return
        self.restored = (self._decline.overfitted > 0 or self._fallen) and not meets_a_threshold(trainer)
        self.overfitted = self.restored and (self._decline.overfitted > 0 or self._apart)
        if self.restored:
            pl_module.load_state_dict(self._weights)
            value = f"nll was {self._nll:.4g}" if math.isfinite(self._nll) else f"memory_gain was {self.best[1]:.2f}"
            rank_zero_info(
                f"the run ends with the weights of update {self.best[0]:,}, when val/{value}, since the last ones "
                "explain less"
            )
        homes = [callback.dirpath for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
        if homes and homes[0]:
            self.written = Path(homes[0]) / KEPT_WEIGHTS
            trainer.save_checkpoint(self.written, weights_only=True)

    @property
    def _parts(self) -> dict[str, Any]:
        return {"second": self._second, "fewer": self._fewer, "growth": self._growth, "decline": self._decline}

    def state_dict(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return {name: copy(getattr(self, name)) for name in _STATE} | parts

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, copy(state_dict[name]))
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])
