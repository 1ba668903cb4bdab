"""The data: one task a file, over :class:`EpisodeDataModule`."""

from datamodules.base import EpisodeDataModule
from datamodules.copy_memory import CopyDataModule
from datamodules.gymnasium import GymnasiumDataModule
from datamodules.minari import MinariDataModule
from datamodules.rewards import RewardDataModule
from datamodules.tmaze import TMazeDataModule

__all__ = [
    "CopyDataModule",
    "EpisodeDataModule",
    "GymnasiumDataModule",
    "MinariDataModule",
    "RewardDataModule",
    "TMazeDataModule",
]
