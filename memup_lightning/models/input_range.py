"""Comparison of numbers with those that an encoder was fitted to: another unit is seen by it, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import nn

from memup_lightning.models.encoders import StepEncoder
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays

FAR = 5.0
"""Spreads beyond which a number is far; encoders read numbers beyond on a logarithmic scale."""
_MOST = 0.5  # share of the steps
FEW_STEPS = 16
"""Number of steps, below which the share of far ones tells nothing."""


def far_inputs(encoder: nn.Module, fields: Mapping[str, FieldSpec], values: Arrays) -> list[str]:
    """Return a sentence for each component of the inputs that is far from its training data at most steps.

    Args:
        encoder: of the memory's inputs; nothing is known of one of the user's own.
        fields: the inputs.
        values: of each field, ``[steps, *shape]``.
    """
    if not isinstance(encoder, StepEncoder):
        return []
    said = []
    for name, standardizer in encoder.standardizers.items():
        if name not in values or not standardizer.is_fitted or len(values[name]) < FEW_STEPS:
            continue
        columns = values[name].reshape(len(values[name]), -1).T.astype(np.float64)
        centers, scales = standardizer.center.tolist(), standardizer.scale.tolist()
        for number, (column, center, scale) in enumerate(zip(columns, centers, scales, strict=True)):
            share = float((np.abs(column - center) > FAR * scale).mean())
            if share > _MOST:
                label = component_name(fields[name], name, number)
                said.append(
                    f"{label!r} is far from its training data at {share:.0%} of the steps: its median is "
                    f"{np.median(column):.4g}, in training it was {center:.4g} with a spread of {scale:.2g}; is it in the "
                    "same unit?"
                )
    return said


def component_name(field: FieldSpec, name: str, number: int) -> str:
    """Return what a component of a field is called: by its own name, where it has one."""
    return field.names[number] if number < len(field.names) else f"{name}[{number}]"
