"""InterferenceEnv: one corridor of many cues and junctions as a Gymnasium environment."""

from __future__ import annotations

from memup_lightning.envs.interference.rules import InterferenceRules, Layout
from memup_lightning.envs.maze import MazeEnv


class InterferenceEnv(MazeEnv[Layout]):
    """One corridor (see :mod:`memup_lightning.envs.interference.rules`). ``info`` holds ``episode_seed``.

    ``reset(options={"episode_seed": s})`` plays the episode of that seed; otherwise it is drawn from ``np_random``.

    Args:
        **rules: arguments of :class:`~memup_lightning.envs.interference.rules.InterferenceRules`.
    """

    rules_class = InterferenceRules
