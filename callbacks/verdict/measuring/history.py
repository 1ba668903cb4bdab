"""What the validations of a run logged, and the trends that a verdict reads from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring.trend import (
    Outlook,
    Rise,
    finite,
    outlook,
    rise,
    rises,
    standing_since,
)
from memup_lightning.modules.evaluation.estimate import FloatArray


@dataclass(frozen=True)
class Validation:
    """What one validation logged; None: it did not.

    Attributes:
        updates: of the run until then.
        gain: memory gain, in bits.
        train_gain: the same in training episodes.
        explained: bits that the memory explains of a step that the validation evaluated.
        error_explained: share of the squared error of numbers that the memory explains at those steps.
    """

    updates: float
    gain: float
    train_gain: float | None = None
    explained: float | None = None
    error_explained: float | None = None


@dataclass(frozen=True)
class History:
    """All validations of a run, in their order.

    Each trend is one of a property below, an array of updates and values ``[n, 2]``, which holds the validations at which
    both are known and finite.
    """

    validations: tuple[Validation, ...] = ()

    @property
    def gains(self) -> FloatArray:
        """Updates and memory gain."""
        return _rows((x.updates, x.gain) for x in self.validations)

    @property
    def train_gains(self) -> FloatArray:
        """Updates and memory gain in training episodes."""
        return _rows((x.updates, x.train_gain) for x in self.validations)

    @property
    def explained(self) -> FloatArray:
        """Updates, and bits that are explained of an evaluated step."""
        return _rows((x.updates, x.explained) for x in self.validations)

    @property
    def error_explained(self) -> FloatArray:
        """Updates, and share of the squared error that is explained."""
        return _rows((x.updates, x.error_explained) for x in self.validations)

    def learned_training_episodes(self) -> bool:
        """Return whether the gain in training episodes grew; True where that is not known."""
        gains = self.train_gains[:, 1]
        third = len(gains) // 3
        if not third:
            return True
        last = gains[-third:].mean()
        return bool(last - gains[:third].mean() > 2 * at.MIN_RISE or last > at.CLEAR_BITS)

    def rise(self) -> Rise | None:
        """Return how the gain rose over the last half of the updates; None where no rise is certain, it stands still, or as
        many updates again are not worth what they would add."""
        return rise(self.gains) if self.standing_since() is None and _is_worthwhile(self.gains) else None

    def may_rise(self) -> bool | None:
        """Return whether as many updates again may raise the gain by what is worth them: it rose by more than it scatters,
        or at each of fewer than four validations, and fell at none of them. None: these show neither."""
        found = _has_risen(self.gains)
        return _is_worthwhile(self.gains) if found else found

    def slow_rise(self) -> Outlook | None:
        """Return the outlook of a gain that rises, but by too little for as many updates again; None of any other."""
        return None if not _has_risen(self.gains) or _is_worthwhile(self.gains) else outlook(self.gains)

    def recent_gains(self) -> list[float]:
        """Return the gains of the last half of the validations, of four at least where there are so many."""
        rows = self.gains
        gains: list[float] = rows[-max(at.MIN_EVALUATIONS, len(rows) // 2) :, 1].tolist()
        return gains

    def train_rise(self) -> Rise | None:
        """Return how the gain in training episodes rose, in the same way; None where it is not known either."""
        return rise(self.train_gains)

    def rise_everywhere(self) -> Rise | None:
        """Return how much more the memory explains of all steps that validations evaluate, however few bits that is. Of a
        rare outcome the targets of some episodes hold too few to show it. None: as of :meth:`rise`."""
        return rise(self.explained, 0.0) if _is_worthwhile(self.explained) else None

    def rise_of_error(self) -> Rise | None:
        """Return how much more of the squared error of numbers the memory explains. The bits of rare numbers do not show
        it: what the likelihood takes for outliers costs them all the same. None: as of :meth:`rise`."""
        rows = self.error_explained
        return rise(rows, at.ERROR_RISE) if _is_worthwhile(rows) else None

    def improves(self) -> bool:
        """Return whether a validation of the last quarter explained more than any before, and as many updates again are
        worth it by the trend: of all evaluated steps, or, where that is not known, of the targets."""
        known = any(x.explained is not None for x in self.validations)
        rows = self.explained if known else self.gains
        gains, late = rows[:, 1], max(1, len(rows) // 4)
        if len(rows) <= late or not _is_worthwhile(rows):
            return False
        before = float(gains[:-late].max())
        return bool(gains[-late:].max() > before + at.LITTLE * abs(before))

    def standing_since(self) -> int | None:
        """Return the update since which the gain has not risen, for a third of the run; None where it may have."""
        return standing_since(self.gains)


def _rows(values: Iterable[tuple[float, float | None]]) -> FloatArray:
    return finite([(updates, x) for updates, x in values if x is not None])


def _has_risen(rows: FloatArray) -> bool | None:
    """Return whether a gain rose by more than it scatters; of fewer than four validations, at each. None: not known."""
    if len(rows) >= at.MIN_EVALUATIONS:
        return rises(rows)
    steps = np.diff(rows[:, 1])
    if (steps < -at.MIN_RISE).any():
        return False
    return True if len(steps) and (steps > at.MIN_RISE).all() else None


def _is_worthwhile(rows: FloatArray) -> bool:
    """Return whether as many updates again would raise a gain by what is worth them; True where too few show nothing."""
    found = outlook(rows)
    return found is None or found.worthwhile
