"""Distributions of outcomes: loss, likelihood, uncertainty, prediction and scores.

Each computes, from the parameters that a network puts out, a loss, a log-likelihood (so the gain of a memory has the
unit bits), an uncertainty that needs no outcome, and a prediction.

Networks put out the parameters of the standardised outcome: see :class:`ContinuousOutcome`.
"""

from __future__ import annotations

from memup_lightning.models.outcomes.adaptive import AdaptiveCategoricalOutcome
from memup_lightning.models.outcomes.base import Outcome
from memup_lightning.models.outcomes.categorical import CategoricalOutcome
from memup_lightning.models.outcomes.continuous import ContinuousOutcome
from memup_lightning.models.outcomes.gaussian import GaussianOutcome
from memup_lightning.models.outcomes.quantile import QuantileOutcome

__all__ = [
    "AdaptiveCategoricalOutcome",
    "CategoricalOutcome",
    "ContinuousOutcome",
    "GaussianOutcome",
    "Outcome",
    "QuantileOutcome",
]
