"""The best validation of a run, and how those after it compare with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from memup_lightning.callbacks.overfitting import thresholds as at
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT


@dataclass
class BestValidation:
    """The validation that explained most.

    Attributes:
        updates: of the run.
        gain: memory gain of its targets, in bits.
        train_gain: of the targets of training episodes, in bits.
        metrics: all that was logged, by name.
        weights: of the model, on the CPU.
    """

    updates: int
    gain: float
    train_gain: float
    metrics: dict[str, float]
    weights: dict[str, Tensor]

    @property
    def nll(self) -> float:
        """NLL of the evaluated steps; NaN where none was logged."""
        return self.metrics.get("val/nll", math.nan)

    @property
    def explained(self) -> float:
        """What is explained, in nats: at the evaluated steps, or else at the targets."""
        explained = self.metrics.get("val/local_nll", math.nan) - self.nll
        return explained if math.isfinite(explained) else self.gain / BITS_PER_NAT

    @property
    def explains_something(self) -> bool:
        """Whether more is explained than noise of the training episodes, which is memorized first."""
        little = at.SOMETHING
        if any(name.endswith("base_rate") for name in self.metrics):
            little = min(little, at.RARE_SOMETHING * self.metrics.get("val/local_nll", math.inf))
        return self.explained > little

    def is_beaten_by(self, gain: float, nll: float) -> bool:
        """Return whether a validation is better.

        The NLL is that of the evaluated steps, which stay the same. The gain is that of the targets, which become harder,
        and among which there may be noise: a memory that also memorizes coin tosses of the training episodes explains less
        of them in validation episodes, and may know more of what counts.
        """
        return nll < self.nll if math.isfinite(nll) and math.isfinite(self.nll) else gain > self.gain

    def lost(self, gain: float, nll: float) -> float:
        """Return the share of what is explained that a validation has lost, at the evaluated steps or at the targets."""
        if math.isfinite(worse := nll - self.nll):
            return worse / max(abs(self.explained), 1e-12)
        return (self.gain - gain) / max(abs(self.gain), at.GAIN_MARGIN / at.MUCH)


@dataclass
class Decline:
    """What the validations since the best one show.

    Attributes:
        fallen: whether the last one explains less of the evaluated steps; a gain falls with harder targets too.
        apart: whether at the last one training episodes are explained clearly more than validation episodes, or than then:
            they are measured at the ends of chunks, and may be explained less from there, but more and more.
        much: whether so much is lost at the last one that it alone is no chance.
        lower: validations in a row that explain less.
        memorizing: of these, those that explain training episodes as well as the best one, or come under weight decay.
        overfitted: validations in a row that are over-fitted.
    """

    fallen: bool = False
    apart: bool = False
    much: bool = False
    lower: int = 0
    memorizing: int = 0
    overfitted: int = 0

    def observe(self, best: BestValidation, gain: float, nll: float, train_gain: float, decays: bool) -> bool:
        """Take note of a validation that is not better than the best one.

        Args:
            best: that one.
            gain: of this one, in bits.
            nll: of this one.
            train_gain: in training episodes, in bits.
            decays: whether all matrices decay.

        Returns:
            Whether it explains less, and training episodes as well as the best one.
        """
        lost, margin = best.lost(gain, nll), at.MUCH * abs(best.gain)
        self.fallen = lost > at.LITTLE and math.isfinite(nll)
        self.apart = gain < train_gain - margin or train_gain > best.train_gain + at.MUCH * abs(best.train_gain)
        self.much = lost > at.MUCH
        much_lost = self.fallen and lost > at.LOSS
        lower = much_lost and best.explains_something
        memorizes = lower and train_gain >= best.train_gain
        overfitted = self.much and gain < train_gain - max(at.GAIN_MARGIN, margin)
        self.lower = self.lower + 1 if lower else 0
        self.memorizing = self.memorizing + 1 if memorizes or (much_lost and decays) else 0
        self.overfitted = self.overfitted + 1 if overfitted else 0
        return memorizes

    def is_certain(self, times: int) -> bool:
        """Return whether a loss at so many validations in a row is no chance: at two, or at one where much is lost."""
        return times > 1 or (times == 1 and self.much)

    def clear(self) -> None:
        """Begin all counts again."""
        self.lower = self.memorizing = self.overfitted = 0
