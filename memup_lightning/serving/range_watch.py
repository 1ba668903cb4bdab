"""RangeWatch: warning of numbers that come step by step in another unit than in training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import nn

from memup_lightning.data.array_files.column_checks import SINCE_PREVIOUS
from memup_lightning.data.array_files.encoding import X
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.input_range import FAR, FEW_STEPS, component_name
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays
from memup_lightning.user_warnings import warn_user

_VERY_FAR = 20.0  # spreads, at which a single number is enough where the range of training is not known
_MARGIN = 0.5  # of the width of the range of training, outside of it, at which a single number is enough
_IN_A_ROW = 3  # steps at which a number is far
_MAX_WARNINGS = 20
_Floats = npt.NDArray[np.floating]
Range = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Smallest and largest number of each component, ``[size]`` each."""


class RangeWatch:
    """Warning, once for each component of the inputs, of numbers far from those that an encoder was fitted to.

    It warns of a single number where it is outside of the range of training by more than half of that range's width, and
    beyond 5 spreads; where the range is not known, beyond 20 spreads. And it warns of numbers beyond 5 spreads at three
    steps in a row, in most of the streams: where numbers are not normally distributed, some are beyond 5. A time since the
    previous row may be of any length once.

    Args:
        encoder: of the memory's inputs; nothing is known of one of the user's own.
        fields: the inputs.
        x_range: smallest and largest number of each component of the field ``x`` in training, ``[size]`` each; None: not
            known.

    Attributes:
        scales: center and scale of each field, of the shape of the field.
    """

    def __init__(self, encoder: nn.Module, fields: Mapping[str, FieldSpec], x_range: Range | None = None) -> None:
        known = encoder.standardizers if isinstance(encoder, StepEncoder) else {}
        self.scales = {
            name: (
                x.center.cpu().numpy().reshape(fields[name].shape),
                x.scale.cpu().numpy().reshape(fields[name].shape),
            )
            for name, x in known.items()
            if name in fields and x.is_fitted
        }
        self._names = {
            name: [component_name(fields[name], name, number) for number in range(center.size)]
            for name, (center, _) in self.scales.items()
        }
        self._once = {  # components of which a single number is enough
            name: np.array([not x.endswith(SINCE_PREVIOUS) for x in names]) for name, names in self._names.items()
        }
        self._ranges: dict[str, Range] = {}
        if x_range is not None and X in self.scales and self.scales[X][0].size == x_range[0].size:
            self._ranges[X] = x_range
        self._limits = {name: self._find_limits(name) for name in self.scales}
        self._step = 0
        self._last = {name: np.full(center.size, -1) for name, (center, _) in self.scales.items()}
        self._in_a_row = {name: np.zeros(center.size, np.int64) for name, (center, _) in self.scales.items()}
        self._open = {name: np.ones(center.size, np.bool_) for name, (center, _) in self.scales.items()}
        self._said = 0

    def _find_limits(self, name: str) -> Range:
        """Return the numbers, of each component, below and above which a single one is enough."""
        center, scale = (part.ravel().astype(np.float64) for part in self.scales[name])
        if name not in self._ranges:
            return center - _VERY_FAR * scale, center + _VERY_FAR * scale
        low, high = self._ranges[name]
        margin = (high - low) * _MARGIN
        return np.minimum(low - margin, center - FAR * scale), np.maximum(high + margin, center + FAR * scale)

    def steps_beyond(self, values: Arrays) -> list[str]:
        """Return a sentence for each component of x with numbers far outside of the range of training at some steps. Where
        they are most of many steps, :func:`~memup_lightning.models.input_range.far_inputs` tells.

        Args:
            values: of each field, ``[steps, *shape]``.
        """
        said = []
        for name in self._ranges.keys() & values.keys():
            rows = values[name].reshape(len(values[name]), -1)
            below, above = self._limits[name]
            suspects = ((rows.min(0) < below) | (rows.max(0) > above)) & self._once[name] if len(rows) else np.zeros(0)
            for number in map(int, np.flatnonzero(suspects)):
                column = rows[:, number]
                beyond = column[(column < below[number]) | (column > above[number])]
                if 2 * len(beyond) <= len(rows) or len(rows) < FEW_STEPS:
                    furthest = beyond[np.abs(beyond - self.scales[name][0].flat[number]).argmax()]
                    said.append(
                        f"{self._names[name][number]!r} is far from its training data at {len(beyond):,} of {len(rows):,} "
                        f"steps: it is {furthest:.4g}, {self._usual(name, number)}; is it a wrong reading?"
                    )
        return said

    def _usual(self, name: str, number: int) -> str:
        center, scale = (part.flat[number] for part in self.scales[name])
        if name not in self._ranges:
            return f"in training it was {center:.4g} with a spread of {scale:.2g}"
        low, high = (limit[number] for limit in self._ranges[name])
        return f"in training it was {center:.4g} with a spread of {scale:.2g}, from {low:.4g} to {high:.4g}"

    def next_step(self) -> None:
        """Begin another step."""
        self._step += 1

    def check(self, name: str, x: npt.NDArray[np.generic]) -> None:
        """Look at the numbers of a field, ``[streams, *shape]``."""
        center, scale = self.scales[name]
        z = (x - center) / scale
        if np.abs(z).max(initial=0) > FAR:
            self.note(name, x, z)

    def note(self, name: str, x: npt.NDArray[np.generic], z: _Floats) -> None:
        """Warn of numbers some of which are far.

        Args:
            name: of the field; of one without scales nothing is known.
            x: ``[streams, *shape]``, in the data's unit.
            z: standardised.
        """
        if name not in self.scales or self._said >= _MAX_WARNINGS:
            return
        distance = np.abs(z.reshape(len(z), -1))
        if not ((far := distance > FAR) & self._open[name]).any():
            return
        mostly = 2 * far.sum(0) > len(far)
        in_a_row = np.where(self._last[name] == self._step - 1, self._in_a_row[name] + 1, 1)
        self._in_a_row[name] = np.where(mostly, in_a_row, 0)
        self._last[name] = np.where(mostly, self._step, -1)
        below, above = self._limits[name]
        rows = np.asarray(x.reshape(len(x), -1), np.float64)
        once = ((rows < below) | (rows > above)).any(0) & self._once[name]
        new = (once | (self._in_a_row[name] >= _IN_A_ROW)) & self._open[name]
        for number in map(int, np.flatnonzero(new)):
            self._open[name][number] = False
            self._said += 1
            value = rows[distance[:, number].argmax(), number]
            warn_user(
                f"{self._names[name][number]!r} is far from its training data: it is {value:.4g}, "
                f"{self._usual(name, number)}; is it in the same unit?"
            )
