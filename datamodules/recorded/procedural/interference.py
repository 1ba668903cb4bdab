"""InterferenceDataModule: episodes of many cues and junctions, computed when they are read."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Unpack

from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.procedural.mazes import MazeEpisodes, default_num_train
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.envs.interference.rules import InterferenceRules
from memup_lightning.envs.maze import maze_spaces
from memup_lightning.exceptions import check_counts
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Split


class InterferenceDataModule(EpisodeDataModule):
    """N cues and N junctions in one corridor (see :mod:`memup_lightning.envs.interference.rules`) under a uniformly random
    policy.

    The memory reads the observation, the previous action and the previous reward; the local context is the observation
    and the action taken. The outcome is the reward; the memory is evaluated at the junctions, at each of which it can
    explain 1 bit. Episodes are computed when they are read and may be a million steps long.

    Args:
        length: steps of an episode.
        cues: N, the number of cues, and of junctions: bits that the memory must hold at once.
        order: ``in_turn``: the cue that was shown first is asked for first; ``nested``: last.
        overwrites: how often a cue is shown again, with another coin toss; the last one counts.
        coins: steps among the junctions whose reward is a coin toss.
        num_train: training episodes; by default as many as have 4 million steps together, 256 at least and 4,096 at most.
        num_val: validation episodes.
        num_test: test episodes.
        tolerance: a predicted reward counts as right within this distance, in spreads of the reward.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: no cue or episode, more cues, junctions and coin tosses than the length has room for.
    """

    steps_name = "environment steps"

    def __init__(
        self,
        length: int = 1000,
        cues: int = 4,
        order: Literal["in_turn", "nested"] = "in_turn",
        overwrites: int = 0,
        coins: int = 0,
        num_train: int | None = None,
        num_val: int = 256,
        num_test: int = 256,
        tolerance: float = 0.25,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        self.rules = InterferenceRules(length, cues, order, overwrites, coins)
        check_counts(1, num_train=num_train, num_val=num_val, num_test=num_test)
        num_train = default_num_train(length) if num_train is None else num_train
        self.num_episodes: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}
        self.tolerance = tolerance

    @cached_property
    def task(self) -> TaskSpec:
        """What a model must know of the data: fields, inputs, local context and outcome."""
        return agent_task(*maze_spaces(self.rules), "memup/Interference-v0", tolerance=self.tolerance)

    def episodes(self, split: Split) -> MazeEpisodes:
        return MazeEpisodes(self.rules, self.episode_seeds(split, self.num_episodes[split]))
