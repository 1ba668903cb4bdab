"""Mazes of any rules, alone and many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from memup_lightning.envs import TMazeRules, TMazeVectorEnv

MODES = ("L", "LN", "LNR")
SEEDS = np.arange(2000)


@st.composite
def rules_of_any_kind(draw: st.DrawFn) -> TMazeRules:
    distractors = draw(st.sampled_from([0, 1, 2, 7]))
    length = draw(st.integers(distractors + 6 if distractors else 2, 40))
    return TMazeRules(length, draw(st.sampled_from(MODES)), distractors)


def vector_env(rules: TMazeRules, num_envs: int, **kwargs: Any) -> TMazeVectorEnv:
    return TMazeVectorEnv(num_envs, length=rules.length, mode=rules.mode, distractors=rules.distractors, **kwargs)
