"""The T-Maze, with episodes made when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from memup_lightning import rng
from memup_lightning.data.episodes import EVAL_MASK, OUTCOME, EpisodeSource, check_lengths
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.datamodules.recorded.gymnasium import GymnasiumDataModule
from memup_lightning.envs.tmaze import TMazeRules
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray, Split

_ACTION = 7  # stream of random numbers


class TMazeEpisodes(ProceduralEpisodes):
    """Episodes of a uniformly random policy in the T-Maze, computed when they are read.

    Args:
        rules: the maze.
        seeds: one seed an episode; the environment plays the same episode under the same seed.
    """

    def __init__(self, rules: TMazeRules, seeds: IntArray) -> None:
        self.rules = rules
        self.seeds = seeds
        self.layout = rules.layout(seeds)
        self.lengths = check_lengths(self.layout.length)
        self.fields = {
            "observation": FieldSpec((rules.observation_size,)),
            "action": FieldSpec((), "int32", "token", 2),
            "reward": FieldSpec(),
            OUTCOME: FieldSpec(),
            EVAL_MASK: FieldSpec((), "bool"),
        }

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        layout = self.layout.rows(episodes)
        seeds = self.seeds[episodes]
        out: Arrays = {}
        if "observation" in names:
            out["observation"] = self.rules.observe(layout, seeds, time)
        if {"action", "reward", OUTCOME} & set(names):
            action = (rng.hash64(_ACTION, seeds[:, None], time) & np.uint64(1)).astype(np.int64)
            if "action" in names:
                out["action"] = action.astype(np.int32)
            if {"reward", OUTCOME} & set(names):
                out["reward"] = self.rules.reward(layout, time, action)
                out[OUTCOME] = out["reward"].copy()
        if EVAL_MASK in names:
            out[EVAL_MASK] = self.rules.at_junction(layout, time)
        return out


class TMazeDataModule(GymnasiumDataModule):
    """T-Maze-L, -LN and -LNR (see :mod:`memup_lightning.envs.tmaze`).

    The outcome is the reward; the memory is evaluated at the junction. Under the random policy the corridor does not depend
    on the actions, so episodes are computed when they are read and may be a million steps long. With a ``policy`` of
    your own they are played in the environment and kept in memory.

    Args:
        length: steps of the corridor with its junction, the least number in mode LNR.
        mode: L, LN or LNR.
        distractors: steps that pay a coin toss.
        hint_window: share of the corridor in which the hint comes, at a random step; 0: at step 0.
        distractor_noise: size of the random vector that a distractor step shows; no two of them then look alike.
        num_train, num_val, num_test: episodes of each split.
        **gymnasium: see :class:`~memup_lightning.datamodules.recorded.gymnasium.GymnasiumDataModule`.
    """

    def __init__(
        self,
        length: int = 1000,
        mode: Literal["L", "LN", "LNR"] = "LNR",
        distractors: int = 0,
        hint_window: float = 0.0,
        distractor_noise: int = 0,
        num_train: int = 256,
        num_val: int = 256,
        num_test: int = 256,
        **gymnasium: Any,
    ) -> None:
        maze: dict[str, Any] = {
            "length": length,
            "mode": mode,
            "distractors": distractors,
            "hint_window": hint_window,
            "distractor_noise": distractor_noise,
        }
        self.rules = TMazeRules(**maze)
        super().__init__(
            env_id="memup/TMaze-v0",
            env_kwargs=maze,
            eval_at="last",
            num_train=num_train,
            num_val=num_val,
            num_test=num_test,
            **gymnasium,
        )

    def episodes(self, split: Split) -> EpisodeSource:
        if self.policy is not None or self.wrappers or self.observed is not None or self.outcome != "reward":
            return super().episodes(split)
        return TMazeEpisodes(self.rules, self.episode_seeds(split, self.num_episodes[split]))
