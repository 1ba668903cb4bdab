"""The data: one task a file, over :class:`EpisodeDataModule` (recorded) or :class:`RolloutDataModule` (played)."""

from datamodules.adding import AddingDataModule
from datamodules.arrays import ArrayDataModule
from datamodules.base import EpisodeDataModule
from datamodules.copy_memory import CopyDataModule
from datamodules.gymnasium import GymnasiumDataModule
from datamodules.joint import JointDataModule
from datamodules.minari import MinariDataModule
from datamodules.permuted_pixels import PermutedPixelsDataModule
from datamodules.rewards import RewardDataModule
from datamodules.rollouts import RolloutDataModule
from datamodules.task import TaskDataModule
from datamodules.tmaze import TMazeDataModule
from datamodules.two_colors import TwoColorsDataModule

__all__ = [
    "AddingDataModule",
    "ArrayDataModule",
    "CopyDataModule",
    "EpisodeDataModule",
    "GymnasiumDataModule",
    "JointDataModule",
    "MinariDataModule",
    "PermutedPixelsDataModule",
    "RewardDataModule",
    "RolloutDataModule",
    "TMazeDataModule",
    "TaskDataModule",
    "TwoColorsDataModule",
]
