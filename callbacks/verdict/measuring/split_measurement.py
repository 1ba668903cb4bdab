"""What a memory explains in some episodes of a split, and how much of it counts as something."""

from __future__ import annotations

from dataclasses import dataclass

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.modules.evaluation.estimate import Estimate


@dataclass(frozen=True)
class CurvePoint:
    """Memory gain at one distance.

    Attributes:
        distance: steps between the state and the step whose outcome it must explain, d.
        gain: with the state m_{k-d}, in bits.
        change: the gain minus that of distance 0 at the same steps.
        half: the gain minus half of that of distance 0 at the same steps.
        steps: number of steps k; those before step d of their episode have no such state.
        episodes: number of episodes that have such steps.
    """

    distance: int
    gain: Estimate
    change: Estimate
    half: Estimate
    steps: int
    episodes: int

    @property
    def at_once(self) -> float:
        """Gain of distance 0 at the same steps."""
        return self.gain.mean - self.change.mean


@dataclass(frozen=True)
class Place:
    """Steps in one part of the episodes.

    Attributes:
        step: their median number in the episode.
        gain: at distance 0, in bits.
        surprise: NLL without memory, in bits.
    """

    step: int
    gain: Estimate
    surprise: float


@dataclass(frozen=True)
class SplitMeasurement:
    """What the memory explains in some episodes of a split.

    Attributes:
        episodes: number of episodes measured; 0: taken from what the last validation logged.
        curve: gain against the distance, from 0 on.
        surprise: mean NLL without memory, in bits; of numbers a density, which may be negative.
        explained: share of what is uncertain without memory that the memory explains: of bits for classes, of the squared
            error for numbers.
        uncertain: share of the outcomes' own entropy (of their variance, for numbers) that is left without memory.
        early, late: the first and the last third of the steps, where these are far apart.
        own: what the best constant leaves of the outcomes: their entropy in bits, their variance; None: not known.
        above_constant: by how much the memory is worse than that constant, in the unit of ``own``; None: not known.
        local_is_worse: whether the predictor without memory is worse than that constant, for certain. Then curve, surprise
            and places are measured from the constant for classes, and ``explained`` is.
        outlier_bits: what sure and wrong predictions of classes cost beyond the bound up to which all of this counts them
            (:class:`~memup_lightning.callbacks.verdict.measuring.losses.Losses`), in bits a step.
        over_others: by how much the state of the same step explains more than that of another episode, in bits; None: not
            known.
        excess_bits: by how much the NLL without memory is above that of a constant: the share of each class, or the normal
            distribution of all outcomes. Below 0: it is better.
    """

    episodes: int
    curve: tuple[CurvePoint, ...]
    surprise: float
    explained: float
    uncertain: float
    early: Place | None = None
    late: Place | None = None
    own: float | None = None
    above_constant: Estimate | None = None
    local_is_worse: bool = False
    outlier_bits: float = 0.0
    over_others: Estimate | None = None
    excess_bits: float = 0.0

    @property
    def gain(self) -> Estimate:
        """Gain with the state of the same step."""
        return self.curve[0].gain

    @property
    def gains(self) -> bool:
        """Whether the gain is some bits, or some share of what is uncertain; it may be chance."""
        return self.gain.mean > at.SOME_BITS or (self.gain.mean > 0 and self.explained > at.SOME_SHARE)

    @property
    def explains(self) -> bool:
        """Whether there is a gain for certain."""
        return self.gain.low > 0 and self.gains
