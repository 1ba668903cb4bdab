"""One distribution of each family, with parameters and outcomes drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from memup_lightning.models.outcomes import (
    AdaptiveCategoricalOutcome,
    CategoricalOutcome,
    GaussianOutcome,
    Outcome,
    QuantileOutcome,
)
from memup_lightning.specs import FieldSpec

NUMBER, VECTOR, CLASSES = FieldSpec(), FieldSpec((3,)), FieldSpec((), "int32", "token", 4)
MANY = FieldSpec((), "int32", "token", 100)

FAMILIES: dict[str, tuple[FieldSpec, Callable[[], Outcome]]] = {
    "categorical": (CLASSES, partial(CategoricalOutcome, CLASSES)),
    "adaptive": (MANY, partial(AdaptiveCategoricalOutcome, MANY, features=8)),
    "gaussian": (NUMBER, partial(GaussianOutcome, NUMBER)),
    "gaussian-fixed": (NUMBER, partial(GaussianOutcome, NUMBER, learned_variance=False)),
    "gaussian-vector": (VECTOR, partial(GaussianOutcome, VECTOR)),
    "quantile": (NUMBER, partial(QuantileOutcome, NUMBER)),
    "quantile-1": (FieldSpec((1,)), partial(QuantileOutcome, FieldSpec((1,)))),
}

each_family = pytest.mark.parametrize("name", FAMILIES)


def some_params(outcome: Outcome, *lead: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*lead, outcome.num_parameters, generator=torch.Generator().manual_seed(0)) * scale


def some_outcomes(field: FieldSpec, *lead: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if field.type == "token":
        return torch.randint(0, field.classes, lead, generator=generator, dtype=torch.int32)
    return torch.randn(*lead, *field.shape, generator=generator)
