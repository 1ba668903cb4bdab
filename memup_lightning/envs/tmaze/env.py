"""TMazeEnv: one T-Maze as a Gymnasium environment; and an expert of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from memup_lightning.envs.maze import MazeEnv
from memup_lightning.envs.policies import InformedPolicy
from memup_lightning.envs.tmaze.rules import Layout, TMazeRules
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import BoolArray, FloatArray, IntArray


class TMazeEnv(MazeEnv[Layout]):
    """One T-Maze (see the module). ``info`` holds ``episode_seed`` and the hidden truth ``hint``.

    ``reset(options={"episode_seed": s})`` plays the episode of that seed; otherwise it is drawn from ``np_random``.
    For speed take :class:`~memup_lightning.envs.tmaze.vector_env.TMazeVectorEnv`.

    Args:
        render_mode: None or ``ansi`` (a line of text).
        **rules: arguments of :class:`~memup_lightning.envs.tmaze.rules.TMazeRules`.
    """

    rules_class = TMazeRules
    metadata = {"render_modes": ["ansi"], "render_fps": 10}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(self, *, render_mode: str | None = None, **rules: Any) -> None:
        super().__init__(**rules)
        if render_mode not in (None, "ansi"):
            raise MemUPError(f"render_mode={render_mode!r} is not supported; give None or 'ansi'")
        self.render_mode = render_mode

    def _info(self, layout: Layout) -> dict[str, Any]:
        return {**super()._info(layout), "hint": int(layout.hint[0])}

    def render(self) -> str | None:
        if self.render_mode is None or self._layout is None:
            return None
        length, step = int(self._layout.length[0]), int(self._step[0])
        cells = ["."] * min(length, 60)
        cells[min(step, length - 1) * (len(cells) - 1) // (length - 1)] = "A"
        goal = "left" if self._layout.hint[0] < 0 else "right"
        return f"[{''.join(cells)}T] step {step} of {length}, turn {goal}"


class TMazeExpert(InformedPolicy):
    """Expert of the T-Maze: it turns as the hint said, which it reads from the infos. In the corridor it presses 0."""

    def __call__(
        self, observations: FloatArray, action_space: gymnasium.Space[Any], infos: Mapping[str, Any]
    ) -> IntArray:
        """Return an action for each environment; see :class:`~memup_lightning.envs.policies.InformedPolicy`."""
        goes_right: BoolArray = (observations[:, 1] == 1) & (np.asarray(infos["hint"]) > 0)
        return goes_right.astype(np.int64)
