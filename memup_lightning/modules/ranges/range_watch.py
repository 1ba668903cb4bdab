"""RangeWatch: warning of numbers that come step by step in another unit than in training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memup_lightning.modules.ranges.input_range import FAR, InputRange
from memup_lightning.user_warnings import warn_user

_IN_A_ROW = 3  # steps at which a number is far
_MAX_WARNINGS = 20
_Floats = npt.NDArray[np.floating]


class RangeWatch:
    """Warning, once for each component of the inputs, of numbers far from those that an encoder was fitted to.

    It warns of a single number that is outside of the limits of training (``limits`` of
    :class:`~memup_lightning.modules.ranges.input_range.InputRange`), and of numbers that are far (``usual_range`` there:
    beyond 5 spreads, or 5 of the logarithm below) at three steps in a row, in most of the streams: where numbers are not
    normally distributed, some are beyond 5.

    Args:
        known: what is known of the numbers in training.
        question: that the user should ask, the end of the warning.

    Attributes:
        scales: center and scale of each field, of the shape of the field.
    """

    def __init__(self, known: InputRange, question: str = "is it in the same unit?") -> None:
        self._known, self._question = known, question
        self.scales = known.scales
        self._lowest = {name: _lowest(known, name) for name in self.scales}
        self._by_logarithm = {name for name, lowest in self._lowest.items() if (lowest > -FAR).any()}
        self._step = 0
        self._last = {name: np.full(center.size, -1) for name, (center, _) in self.scales.items()}
        self._in_a_row = {name: np.zeros(center.size, np.int64) for name, (center, _) in self.scales.items()}
        self._open = {name: np.ones(center.size, np.bool_) for name, (center, _) in self.scales.items()}
        self._said = 0

    def next_step(self) -> None:
        """Begin another step."""
        self._step += 1

    def check(self, name: str, x: npt.NDArray[np.generic]) -> bool:
        """Look at the numbers of a field, ``[streams, *shape]``, and return whether none is far or not finite."""
        center, scale = self.scales[name]
        z = (x - center) / scale
        if not self.is_far(name, z):
            return True
        if np.isfinite(z).all():
            self.note(name, x, z)
        return False

    def is_far(self, name: str, z: _Floats) -> bool:
        """Return whether some standardised number of a field, ``[streams, *shape]``, is far or not finite."""
        if not np.abs(z).max(initial=0) <= FAR:
            return True
        return name in self._by_logarithm and bool((z.reshape(len(z), -1) < self._lowest[name]).any())

    def note(self, name: str, x: npt.NDArray[np.generic], z: _Floats) -> None:
        """Warn of numbers some of which are far.

        Args:
            name: of the field; of one without scales nothing is known.
            x: ``[streams, *shape]``, in the data's unit.
            z: standardised.
        """
        if name not in self.scales or self._said >= _MAX_WARNINGS:
            return
        z = z.reshape(len(z), -1)
        far = (z > FAR) | (z < self._lowest[name])
        if not (far & self._open[name]).any():
            return
        mostly = 2 * far.sum(0) > len(far)
        in_a_row = np.where(self._last[name] == self._step - 1, self._in_a_row[name] + 1, 1)
        self._in_a_row[name] = np.where(mostly, in_a_row, 0)
        self._last[name] = np.where(mostly, self._step, -1)
        below, above = self._known.limits[name]
        rows = np.asarray(x.reshape(len(x), -1), np.float64)
        once = ((rows < below) | (rows > above)).any(0) & self._known.counts_once[name]
        new = (once | (self._in_a_row[name] >= _IN_A_ROW)) & self._open[name]
        for number in map(int, np.flatnonzero(new)):
            self._open[name][number] = False
            self._said += 1
            value = rows[np.where(far[:, number], np.abs(z[:, number]), -1).argmax(), number]
            warn_user(
                f"{self._known.names[name][number]!r} is far from its training data: it is {value:.4g}, "
                f"{self._known.usual(name, number)}; {self._question}"
            )


def _lowest(known: InputRange, name: str) -> _Floats:
    """Return the standardised numbers below which the components of a field are far, ``[size]``."""
    center, scale = known.components(name)
    lowest: _Floats = (known.usual_range(name)[0] - center) / scale
    return lowest
