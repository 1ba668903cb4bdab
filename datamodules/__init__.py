"""The data: one task a file, over :class:`EpisodeDataModule`."""

from datamodules.base import EpisodeDataModule
from datamodules.gymnasium import GymnasiumDataModule
from datamodules.minari import MinariDataModule
from datamodules.rewards import RewardDataModule
from datamodules.tmaze import TMazeDataModule
from datamodules.two_colors import TwoColorsDataModule

__all__ = [
    "EpisodeDataModule",
    "GymnasiumDataModule",
    "MinariDataModule",
    "RewardDataModule",
    "TMazeDataModule",
    "TwoColorsDataModule",
]
