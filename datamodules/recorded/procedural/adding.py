"""The adding problem: two marked numbers, far apart, whose sum is the outcome at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from memup_lightning import rng
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, check_lengths
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.exceptions import check_counts
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays, IntArray, Split

_VALUE, _PLACE = 1, 2  # streams of random numbers


class AddingEpisodes(ProceduralEpisodes):
    """Episodes of the adding problem.

    A step shows a number, uniform in [0, 1), and a mark: 1 at one step of each half, else 0. Only the last step has an
    outcome, the sum of the two marked numbers.

    Args:
        length: steps of an episode, T.
        seeds: one seed an episode.
    """

    def __init__(self, length: int, seeds: IntArray) -> None:
        self.seeds = seeds
        self.lengths = check_lengths(np.full(len(seeds), length))
        half = length // 2
        first = rng.integers(half, seeds, _PLACE, 0)
        second = half + rng.integers(length - half, seeds, _PLACE, 1)
        self.marked = np.stack([first, second], axis=1)  # [episodes, 2]
        self.sums = self._numbers(seeds[:, None], self.marked).sum(1, dtype=np.float32)
        flag = FieldSpec((), "bool")
        self.fields = {"observation": FieldSpec((2,)), OUTCOME: FieldSpec(), HAS_OUTCOME: flag, EVAL_MASK: flag}

    def _numbers(self, seeds: IntArray, steps: IntArray) -> np.ndarray[Any, np.dtype[np.float32]]:
        return rng.uniform(seeds, _VALUE, steps).astype(np.float32)

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        out: Arrays = {}
        if "observation" in names:
            mark = (time[..., None] == self.marked[episodes, None]).any(-1)
            out["observation"] = np.stack([self._numbers(self.seeds[episodes, None], time), mark], axis=-1)
        last = time == self.lengths[episodes, None] - 1
        out[OUTCOME] = np.where(last, self.sums[episodes, None], np.float32(0))
        out[HAS_OUTCOME] = last
        out[EVAL_MASK] = last.copy()
        return out


class AddingDataModule(EpisodeDataModule):
    """Adding-T (Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997, section 5.4, with T fixed).

    The memory reads number and mark. Only the last step has an outcome, so only it can be a target. Predicting the mean
    gives a squared error of 0.167. Episodes are computed when they are read.

    Args:
        length: T, steps of an episode. The first mark is in its first half, the second in its second half.
        tolerance: a predicted sum counts as right within this distance, in spreads of the sum; 0.1 is 0.041
            (the paper has 0.04).
        num_train: training episodes.
        num_val: validation episodes.
        num_test: test episodes.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: an episode without two halves, a split without episodes.
    """

    def __init__(
        self,
        length: int = 5000,
        tolerance: float = 0.1,
        num_train: int = 4096,
        num_val: int = 256,
        num_test: int = 256,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        self.num_episodes: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}
        check_counts(2, length=length)
        check_counts(1, num_train=num_train, num_val=num_val, num_test=num_test)
        self.length = length
        self.tolerance = tolerance

    @property
    def label(self) -> str:
        return f"Adding-{self.length}"

    @property
    def task(self) -> TaskSpec:
        return TaskSpec(
            {"observation": FieldSpec((2,))}, {"observation": 0}, ("observation",), tolerance=self.tolerance
        )

    def episodes(self, split: Split) -> AddingEpisodes:
        return AddingEpisodes(self.length, self.episode_seeds(split, self.num_episodes[split]))
