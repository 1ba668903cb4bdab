"""Targets: the later steps whose outcomes the memory must explain, how they are chosen and kept."""

from memup_lightning.data.targets.candidates import NOWHERE, Candidates, SuffixMaxima
from memup_lightning.data.targets.explainable import Explainable
from memup_lightning.data.targets.selectors import CombinedSelector, CurrentStep, Proportional, Selector, TopK
from memup_lightning.data.targets.table import TargetCollector, TargetTable

__all__ = [
    "NOWHERE",
    "Candidates",
    "CombinedSelector",
    "CurrentStep",
    "Explainable",
    "Proportional",
    "Selector",
    "SuffixMaxima",
    "TargetCollector",
    "TargetTable",
    "TopK",
]
