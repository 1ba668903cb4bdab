"""Targets: the later steps whose outcomes the memory must explain, how they are chosen and kept."""

from memup_lightning.data.targets.candidates import NOWHERE, Candidates, SuffixMaxima
from memup_lightning.data.targets.explainable import Explainable
from memup_lightning.data.targets.selectors import (
    DEFAULT_ARGUMENTS,
    Proportional,
    Scorable,
    Selector,
    TopK,
    check_selector,
)
from memup_lightning.data.targets.table import TargetCollector, TargetTable

__all__ = [
    "DEFAULT_ARGUMENTS",
    "NOWHERE",
    "Candidates",
    "Explainable",
    "Proportional",
    "Scorable",
    "Selector",
    "SuffixMaxima",
    "TargetCollector",
    "TargetTable",
    "TopK",
    "check_selector",
]
