"""InterferenceEnv: one corridor of many cues and junctions as a Gymnasium environment."""

from __future__ import annotations

from typing import Literal

from memup_lightning.envs.interference.rules import InterferenceRules, Layout
from memup_lightning.envs.maze import MazeEnv


class InterferenceEnv(MazeEnv[Layout]):
    """One corridor (see :mod:`memup_lightning.envs.interference.rules`). ``info`` holds ``episode_seed``.

    ``reset(options={"episode_seed": s})`` plays the episode of that seed; otherwise it is drawn from ``np_random``.

    Args:
        length: number of steps of an episode.
        cues: N, the number of cues, and of junctions.
        order: ``in_turn``: the cue that was shown first is asked for first; ``nested``: last.
        overwrites: how often a cue is shown again, with another coin toss.
        coins: number of steps among the junctions whose reward is a coin toss.
    """

    def __init__(
        self,
        length: int = 1000,
        cues: int = 4,
        order: Literal["in_turn", "nested"] = "in_turn",
        overwrites: int = 0,
        coins: int = 0,
    ) -> None:
        super().__init__(InterferenceRules(length, cues, order, overwrites, coins))
