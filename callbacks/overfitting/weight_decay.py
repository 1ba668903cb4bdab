"""WeightDecay: a run that memorizes goes back to its best weights, and trains on with weight decay of all matrices."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import LightningModule, Trainer

from memup_lightning.callbacks.overfitting import thresholds as at
from memup_lightning.callbacks.overfitting.decline import BestValidation
from memup_lightning.callbacks.overfitting.second_start import own_steps_can_lead
from memup_lightning.modules import MemUP
from memup_lightning.modules.optimization.optimizers import MemoryAdam
from memup_lightning.modules.weight_average import AveragedTask


@dataclass
class WeightDecay:
    """Weight decay of all matrices, that of the memory too, with which a run trains on from its best weights.

    Weights that decay from the beginning learn more slowly, and cannot add up long sums; a memory that must keep something
    for 10,000 steps does not learn under it. So it comes late, and where it does not help it ends for good. It needs the
    default optimizer, :class:`~memup_lightning.modules.optimization.optimizers.MemoryAdam`.

    Attributes:
        decay: in learning rates; 0 before the run has gone back.
        gave_up: whether it was tried, and did not help.
    """

    decay: float = 0.0
    gave_up: bool = False

    def go_back(
        self, trainer: Trainer, model: LightningModule, best: BestValidation, memorizes: bool, target_weight: float
    ) -> bool:
        """Train on from the best weights, with more weight decay and less weight of targets, or with neither where it did
        not help; to be called on every rank.

        Args:
            trainer: of the run.
            model: its model.
            best: validation of the weights.
            memorizes: whether training episodes are explained as well as then.
            target_weight: weight of the loss of targets without weight decay.

        Returns:
            Whether the run went back.
        """
        optimizer = trainer.optimizers[0]
        if self.gave_up or not (isinstance(optimizer, MemoryAdam) and isinstance(model, AveragedTask)):
            return False
        stronger = [x for x in at.DECAYS if memorizes and x > self.decay]
        if not stronger and not self.decay:
            return False
        self.gave_up = not stronger
        self.decay = stronger[0] if stronger else 0.0
        optimizer.decay_memory(self.decay)
        model.go_back(best.weights)
        how = f"with a weight decay of {self.decay}" if stronger else "without weight decay, which did not help"
        if isinstance(model, MemUP) and (not stronger or own_steps_can_lead(model)):
            weight = at.DECAY_TARGETS[self.decay] * target_weight
            model.target_weight.fill_(weight)
            how += f"; targets count {weight:g}" if stronger else ""
        rank_zero_info(
            f"validation episodes are explained less than at update {best.updates:,}: the run goes back to the weights "
            f"of then, and trains on {how}"
        )
        return True
