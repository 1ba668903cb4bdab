"""InputRange: the numbers that an encoder was fitted to, with which later ones are compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from memup_lightning.data.array_files.column_checks import SINCE_PREVIOUS
from memup_lightning.data.array_files.encoding import X
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.scaling import InputStandardizer
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import BoolArray

FAR = 5.0
"""Spreads beyond which a number is far; encoders read numbers beyond on a logarithmic scale."""
_VERY_FAR = 20.0  # spreads, at which a single number is enough where the range of training is not known
_MARGIN = 0.5  # of the width of the range of training, outside of it, at which a single number is enough
Range = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Smallest and largest number of each component, ``[size]`` each."""


class InputRange:
    """What is known of the numbers in training: center, spread and, of a table, smallest and largest number.

    Args:
        encoder: of the memory's inputs; nothing is known of one of the user's own.
        fields: the inputs.
        x_range: smallest and largest number of each component of the field ``x`` in training, ``[size]`` each; None: not
            known.

    Attributes:
        scales: center and scale of each field, of the shape of the field.
        ranges: smallest and largest number of the components of fields of which they are known.
        limits: numbers of each component of a field below and above which a single one is outside: of the range of training
            by more than half of that range's width, and beyond 5 spreads; where the range is not known, beyond 20 spreads.
        names: of the components of each field.
        counts_once: of which components a single number is enough. A time since the previous row may be of any length once.
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
        self._lowest = {name: _lowest_usual(known[name]) for name in self.scales}
        self.names = {
            name: [_component(fields[name], name, number) for number in range(center.size)]
            for name, (center, _) in self.scales.items()
        }
        self.counts_once: dict[str, BoolArray] = {
            name: np.array([not x.endswith(SINCE_PREVIOUS) for x in names]) for name, names in self.names.items()
        }
        self.ranges: dict[str, Range] = {}
        if x_range is not None and X in self.scales and self.scales[X][0].size == x_range[0].size:
            self.ranges[X] = x_range
        self.limits = {name: self._find_limits(name) for name in self.scales}

    def components(self, name: str) -> Range:
        """Return center and scale of the components of a field, ``[size]`` each."""
        center, scale = (part.ravel().astype(np.float64) for part in self.scales[name])
        return center, scale

    def usual_range(self, name: str) -> Range:
        """Return below and above what each component of a field is far: 5 spreads from the center; below, of one
        that is read by its logarithm, 5 spreads of the logarithm from its mean, if that is higher."""
        center, scale = self.components(name)
        return np.maximum(center - FAR * scale, self._lowest[name]), center + FAR * scale

    def _find_limits(self, name: str) -> Range:
        center, scale = self.components(name)
        if name not in self.ranges:
            return np.maximum(center - _VERY_FAR * scale, self._lowest[name]), center + _VERY_FAR * scale
        low, high = self.ranges[name]
        margin = (high - low) * _MARGIN
        below, above = np.minimum(low - margin, center - FAR * scale), np.maximum(high + margin, center + FAR * scale)
        return np.maximum(below, np.minimum(low, self._lowest[name])), above

    def usual(self, name: str, number: int) -> str:
        """Say what a component of a field was in training."""
        center, scale = (part.flat[number] for part in self.scales[name])
        said = f"in training it was {center:.4g} with a spread of {scale:.2g}"
        if name not in self.ranges:
            return said
        low, high = (limit[number] for limit in self.ranges[name])
        return f"{said}, from {low:.4g} to {high:.4g}"


def _lowest_usual(standardizer: InputStandardizer) -> npt.NDArray[np.float64]:
    """Return what a component that is read by its logarithm is seldom below, in the data's unit; -inf of all others."""
    lowest = (standardizer.log_center - FAR * standardizer.log_spread).exp() * standardizer.scale
    return lowest.where(standardizer.lowest > 0, -torch.inf).cpu().double().numpy()


def _component(field: FieldSpec, name: str, number: int) -> str:
    """Return what a component of a field is called: by its own name, where it has one, else by its entry."""
    if number < len(field.names):
        return field.names[number]
    return f"{name}[{field.entries[number] if field.entries else number}]"
