"""Episodes of mazes under a random policy, computed when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memup_lightning import rng
from memup_lightning.data.episodes import EVAL_MASK, OUTCOME, check_lengths
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.envs.maze import MazeRules
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

_ACTION_STREAM = 7  # first key of the draws of actions
_NUM_TRAIN = (256, 4096)  # fewest and most training episodes by default
_TRAIN_STEPS = 4096 * 1024  # steps of the training episodes by default, between these


def default_num_train(length: int) -> int:
    """Return how many training episodes have 4 million steps together, 256 at least and 4,096 at most."""
    return min(max(_NUM_TRAIN[0], _TRAIN_STEPS // length), _NUM_TRAIN[1])


class MazeEpisodes(ProceduralEpisodes):
    """Episodes of a uniformly random policy in a maze, computed when they are read.

    Args:
        rules: the maze.
        seeds: one seed an episode; the environment plays the same episode under the same seed.
    """

    def __init__(self, rules: MazeRules[Any], seeds: IntArray) -> None:
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
            action = (rng.hash64(_ACTION_STREAM, seeds[:, None], time) & np.uint64(1)).astype(np.int64)
            if "action" in names:
                out["action"] = action.astype(np.int32)
            if {"reward", OUTCOME} & set(names):
                out["reward"] = self.rules.reward(layout, time, action)
                out[OUTCOME] = out["reward"].copy()
        if EVAL_MASK in names:
            out[EVAL_MASK] = self.rules.at_junction(layout, time)
        return out
