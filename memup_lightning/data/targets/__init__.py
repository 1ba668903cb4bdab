"""Targets: the later steps whose outcomes the memory must explain, how they are chosen and kept."""

from memup_lightning.data.targets.candidates import NOWHERE, Candidates, FloatArray, SuffixMaxima
from memup_lightning.data.targets.explainable import Explainable
from memup_lightning.data.targets.selectors import CurrentStep, Proportional, Selector, TopK, Union
from memup_lightning.data.targets.table import TargetCollector, TargetTable

__all__ = [
    "NOWHERE",
    "Candidates",
    "CurrentStep",
    "Explainable",
    "FloatArray",
    "Proportional",
    "Selector",
    "SuffixMaxima",
    "TargetCollector",
    "TargetTable",
    "TopK",
    "Union",
]
