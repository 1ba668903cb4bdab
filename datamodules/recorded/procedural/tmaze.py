"""TMazeDataModule: episodes of the T-Maze, computed when they are read."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Unpack

from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.procedural.mazes import MazeEpisodes, default_num_train
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.envs.maze import maze_spaces
from memup_lightning.envs.tmaze.rules import TMazeRules
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Split


class TMazeDataModule(EpisodeDataModule):
    """T-Maze-L, -LN and -LNR (see :mod:`memup_lightning.envs.tmaze.rules`) under a uniformly random policy.

    The memory reads the observation, the previous action and the previous reward; the local context is the observation
    and the action taken. The outcome is the reward; the memory is evaluated at the junction. The corridor does not depend
    on the actions, so episodes are computed when they are read and may be a million steps long. For a policy, wrappers or
    an outcome of your own take
    :class:`~memup_lightning.datamodules.recorded.environments.gymnasium.GymnasiumDataModule` with
    ``env_id: memup/TMaze-v0``.

    Args:
        length: steps of the corridor with its junction; in mode LNR the minimum.
        mode: L, LN or LNR.
        distractors: steps whose reward is a coin toss.
        hint_window: share of the corridor in which the hint comes, at a random step; 0: at step 0.
        distractor_noise: size of the random vector that a distractor step shows; no two of them then look alike.
        num_train: training episodes; by default as many as have 4 million steps together, 256 at least and 4,096 at most.
            They take no room, and few are memorized: the noise of 256 mazes of 1,000 steps distinguishes them.
        num_val: validation episodes.
        num_test: test episodes.
        window: steps of the local context.
        tolerance: a predicted reward counts as right within this distance, in spreads of the reward.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.
    """

    steps_name = "environment steps"

    def __init__(
        self,
        length: int = 1000,
        mode: Literal["L", "LN", "LNR"] = "LNR",
        distractors: int = 0,
        hint_window: float = 0.0,
        distractor_noise: int = 0,
        num_train: int | None = None,
        num_val: int = 256,
        num_test: int = 256,
        window: int = 1,
        tolerance: float = 0.1,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        self.rules = TMazeRules(length, mode, distractors, hint_window, distractor_noise)
        if num_train is None:
            num_train = default_num_train(length)
        self.num_episodes: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}
        for split, number in self.num_episodes.items():
            if number < 1:
                raise MemUPError(f"num_{split}={number}: at least one episode is needed")
        self.window = window
        self.tolerance = tolerance

    @cached_property
    def task(self) -> TaskSpec:
        """What a model must know of the data: fields, inputs, local context and outcome."""
        return agent_task(*maze_spaces(self.rules), "memup/TMaze-v0", window=self.window, tolerance=self.tolerance)

    def episodes(self, split: Split) -> MazeEpisodes:
        return MazeEpisodes(self.rules, self.episode_seeds(split, self.num_episodes[split]))
