"""The splits of recorded episodes: what models and callbacks read of their steps and targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.chunk import Chunk, StepBatch
from memup_lightning.data.episodes import EVAL_MASK, EpisodeSource
from memup_lightning.data.streaming.target_join import TargetJoin
from memup_lightning.data.targets import Selector, TargetTable
from memup_lightning.datamodules.task import BaseDataModule
from memup_lightning.typing import BoolArray, IntArray, Split


class RecordedSplits(BaseDataModule):
    """Episodes and targets of each split, once they are set up.

    Args:
        selector: which later steps a chunk gets as targets.

    Attributes:
        sources: the episodes of each split.
    """

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        self.selector = selector
        self.sources: dict[Split, EpisodeSource] = {}
        self._tables: dict[Split, TargetTable] = {}
        self._joins: dict[Split, TargetJoin] = {}

    def split_label(self, split: Split) -> str:
        """Return where the episodes of a split come from, as messages name it."""
        return f"the episodes of {split}"

    def join(self, split: Split, chunk: Chunk) -> Chunk:
        """Add the targets of the table as it is now."""
        return self._joins[split](chunk)

    def num_environment_steps(self) -> int | None:
        return self.sources["train"].total_steps if "train" in self.sources else None

    def num_targets(self) -> int:
        """Return K, the number of targets."""
        return self.selector.num_targets

    def selects_by_cluster(self) -> bool:
        """Return whether no two targets of a chunk are of one context cluster."""
        return self.selector.one_per_cluster

    def has_split(self, split: Split) -> bool:
        """Return whether the episodes of a split are set up."""
        return split in self.sources

    def awaits_selection(self) -> bool:
        """Return whether the run trains, and no targets were selected yet."""
        return "train" in self._tables and not self._tables["train"].num_refreshes

    def lengths(self, split: Split) -> IntArray:
        """Return the steps of each episode of a split."""
        return self.sources[split].lengths

    def episode_keys(self, split: Split) -> Sequence[str]:
        """Return what the data call each episode of a split; empty where they only number them."""
        return ()

    def targets(self, split: Split) -> TargetTable:
        """Return the targets of a split."""
        return self._tables[split]

    def has_eval_mask(self, split: Split) -> bool:
        """Return whether the episodes mark the steps at which the memory is evaluated; else it is at every outcome."""
        return EVAL_MASK in self.sources[split].fields

    def eval_mask_at(self, split: Split, episodes: IntArray, positions: IntArray) -> BoolArray:
        """Return whether the memory is evaluated at the given steps, ``[rows, K]``."""
        return self._joins[split].eval_mask_at(episodes, positions)

    def read_field(self, split: Split, episode: int, steps: IntArray, name: str) -> npt.NDArray[Any]:
        """Return a field at some steps of an episode, ``[steps, *shape]``."""
        return self.sources[split].gather(np.full(len(steps), episode), steps, 1, [name])[name][:, 0]

    def steps_at(self, split: Split, episodes: IntArray, positions: IntArray) -> StepBatch:
        """Return some steps of episodes, ``[rows, K]``."""
        return self._joins[split].steps_at(episodes, positions)
