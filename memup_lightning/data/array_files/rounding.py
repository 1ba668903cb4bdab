"""Inputs whose numbers lie so close together, for their size, that float32 makes one of many."""

from __future__ import annotations

import numpy as np

from memup_lightning.data.array_files.layout import Array

_COARSE = 100  # steps of rounding; where the spread is larger, a model hardly sees them
_KEPT = 0.95  # share of the different numbers that float32 keeps, below which a loss is said


class RoundingCheck:
    """Finds the columns whose numbers float32 cannot distinguish, by the numbers themselves, block by block."""

    def __init__(self) -> None:
        self._worst: dict[str, tuple[int, int]] = {}  # name: different numbers of a block, and those that are left

    def add(self, name: str, values: Array) -> None:
        """Compare the numbers of a block with what float32 makes of them.

        Args:
            name: of the column or array; of one that holds several numbers a step each has the name ``name[number]``.
            values: before their conversion, ``[n, ...]``; NaN is left out.
        """
        kind, size = values.dtype.kind, values.dtype.itemsize
        if not values.size or not ((kind == "f" and size > 4) or (kind in "iu" and size >= 4)):
            return
        flat = values.reshape(len(values), -1)
        low, high = np.fmin.reduce(flat).astype(np.float64), np.fmax.reduce(flat).astype(np.float64)
        steps = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32))
        at_least = (high - low) / np.sqrt(2 * len(flat))  # the spread is not smaller
        for number in np.flatnonzero((low < high) & (at_least < _COARSE * steps)).tolist():
            known = flat[:, number][np.isfinite(flat[:, number])]
            if not 0 < float(known.std()) < _COARSE * steps[number]:
                continue
            different, left = len(np.unique(known)), len(np.unique(known.astype(np.float32)))
            said = name if flat.shape[1] == 1 else f"{name}[{number}]"
            if left < min(_KEPT, _share(self._worst.get(said, (1, 1)))) * different:
                self._worst[said] = (different, left)

    def notes(self) -> list[str]:
        """Return a note for the user on each column of which numbers are lost."""
        return [
            f"{name!r} holds numbers that lie too close together for their size: of {different:,} different ones {left:,} "
            f"{'is' if left == 1 else 'are'} left in float32; give their distance from a fixed number, or of times the "
            "time since the row before"
            for name, (different, left) in self._worst.items()
        ]


def _share(counts: tuple[int, int]) -> float:
    return counts[1] / counts[0]
