"""RangeWatch: warning of numbers that come step by step in another unit than in training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import nn

from memup_lightning.data.array_files.column_checks import SINCE_PREVIOUS
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.input_range import FAR, component_name
from memup_lightning.specs import FieldSpec
from memup_lightning.user_warnings import warn_user

_VERY_FAR = 20.0  # spreads, at which a single number is enough
_IN_A_ROW = 3  # steps at which a number is far
_MAX_WARNINGS = 20
_Floats = npt.NDArray[np.floating]


class RangeWatch:
    """Warning, once for each component of the inputs, of numbers far from those that an encoder was fitted to.

    It warns where a number is beyond 20 spreads, or beyond 5 at three steps in a row, in most of the streams: where numbers
    are not normally distributed, some are beyond 5. A time since the previous row may be of any length once.

    Args:
        encoder: of the memory's inputs; nothing is known of one of the user's own.
        fields: the inputs.

    Attributes:
        scales: center and scale of each field, of the shape of the field.
    """

    def __init__(self, encoder: nn.Module, fields: Mapping[str, FieldSpec]) -> None:
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
        self._step = 0
        self._last = {name: np.full(center.size, -1) for name, (center, _) in self.scales.items()}
        self._in_a_row = {name: np.zeros(center.size, np.int64) for name, (center, _) in self.scales.items()}
        self._open = {name: np.ones(center.size, np.bool_) for name, (center, _) in self.scales.items()}
        self._said = 0

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
        once = (distance > _VERY_FAR).any(0) & self._once[name]
        new = (once | (self._in_a_row[name] >= _IN_A_ROW)) & self._open[name]
        for number in np.flatnonzero(new):
            self._open[name][number] = False
            self._said += 1
            value = x.reshape(len(x), -1)[distance[:, number].argmax(), number]
            center, scale = (part.flat[number] for part in self.scales[name])
            warn_user(
                f"{self._names[name][number]!r} is far from its training data: it is {value:.4g}, in training it was "
                f"{center:.4g} with a spread of {scale:.2g}; is it in the same unit?"
            )
