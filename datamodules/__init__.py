"""Datamodules: one task a file, recorded or played.

The first are over :class:`EpisodeDataModule`, the second over :class:`RolloutDataModule`.
"""

from memup_lightning.datamodules.played.joint import JointDataModule
from memup_lightning.datamodules.played.rollouts import RolloutDataModule
from memup_lightning.datamodules.recorded.arrays import ArrayDataModule
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.environments.gymnasium import GymnasiumDataModule
from memup_lightning.datamodules.recorded.environments.minari import MinariDataModule
from memup_lightning.datamodules.recorded.environments.rewards import RewardDataModule
from memup_lightning.datamodules.recorded.environments.two_colors import TwoColorsDataModule
from memup_lightning.datamodules.recorded.language.hidden_facts import HiddenFactsDataModule
from memup_lightning.datamodules.recorded.language.text import TextDataModule
from memup_lightning.datamodules.recorded.procedural.adding import AddingDataModule
from memup_lightning.datamodules.recorded.procedural.copy import CopyDataModule
from memup_lightning.datamodules.recorded.procedural.interference import InterferenceDataModule
from memup_lightning.datamodules.recorded.procedural.permuted_pixels import PermutedPixelsDataModule
from memup_lightning.datamodules.recorded.procedural.tmaze import TMazeDataModule
from memup_lightning.datamodules.task import BaseDataModule

__all__ = [
    "AddingDataModule",
    "ArrayDataModule",
    "BaseDataModule",
    "CopyDataModule",
    "EpisodeDataModule",
    "GymnasiumDataModule",
    "HiddenFactsDataModule",
    "InterferenceDataModule",
    "JointDataModule",
    "MinariDataModule",
    "PermutedPixelsDataModule",
    "RewardDataModule",
    "RolloutDataModule",
    "TMazeDataModule",
    "TextDataModule",
    "TwoColorsDataModule",
]
