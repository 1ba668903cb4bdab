"""What mazes share: the contract of their rules, draws from an episode seed, and one maze as an environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import gymnasium
import numpy as np
import numpy.typing as npt

from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import BoolArray, FloatArray, IntArray

RIGHT_TURN = 4.0
"""Reward of the turn that was shown."""
WRONG_TURN = -3.0
"""Reward of the other turn."""


class MazeLayout(Protocol):
    """Random draws that are fixed for each of n episodes."""

    @property
    def length(self) -> IntArray:
        """Number of steps, ``[n]``."""

    def rows(self, index: IntArray) -> Self:
        """Return the layout of some of the episodes, ``[len(index)]``."""


LayoutT = TypeVar("LayoutT", bound=MazeLayout)


class MazeRules(Protocol[LayoutT]):
    """Rules of a maze as pure functions of an episode seed, for many episodes and steps at once: any step of any episode
    can be computed alone, by an environment or by a data set."""

    @property
    def observation_size(self) -> int:
        """Numbers of an observation, all in [-1, 1]."""

    def layout(self, seeds: IntArray) -> LayoutT:
        """Draw what is fixed for an episode; one seed an episode, ``[n]``."""

    def observe(self, layout: LayoutT, seeds: IntArray, steps: IntArray) -> FloatArray:
        """Compute the observations ``[*steps.shape, size]`` at steps ``[n]`` or ``[n, T]`` of the n episodes."""

    def reward(self, layout: LayoutT, steps: IntArray, actions: IntArray) -> FloatArray:
        """Compute the rewards of actions (0 = left, 1 = right) at steps, both ``[n]`` or ``[n, T]``."""

    def at_junction(self, layout: LayoutT, steps: IntArray) -> BoolArray:
        """Return at which of the steps, ``[n]`` or ``[n, T]``, a turn is rewarded by what was shown before."""


def maze_spaces(rules: MazeRules[Any]) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """Return the spaces of an observation and of an action."""
    return gymnasium.spaces.Box(-1.0, 1.0, (rules.observation_size,), np.float32), gymnasium.spaces.Discrete(2)


class MazeEnv(gymnasium.Env[FloatArray, np.int64], Generic[LayoutT]):
    """One maze as a Gymnasium environment. ``info`` holds ``episode_seed``.

    ``reset(options={"episode_seed": s})`` plays the episode of that seed; otherwise it is drawn from ``np_random``.

    Args:
        **rules: arguments of ``rules_class`` that differ from its defaults, such as ``length=400``.
    """

    rules_class: ClassVar[Callable[..., MazeRules[Any]]]

    def __init__(self, **rules: Any) -> None:
        self.rules: MazeRules[LayoutT] = self.rules_class(**rules)
        self.observation_space, self.action_space = maze_spaces(self.rules)
        self._layout: LayoutT | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        super().reset(seed=seed)
        episode_seed = (options or {}).get("episode_seed")
        if episode_seed is None:
            episode_seed = self.np_random.integers(2**63)
        self._seeds = np.array([episode_seed], np.int64)
        self._layout = self.rules.layout(self._seeds)
        self._step = np.zeros(1, np.int64)
        return self.rules.observe(self._layout, self._seeds, self._step)[0], self._info(self._layout)

    def step(self, action: np.int64) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        if self._layout is None or self._step >= self._layout.length:
            raise MemUPError("the episode is over or not begun; call reset() before step()")
        if not self.action_space.contains(action):
            raise MemUPError(f"action {action!r} is neither 0 (left) nor 1 (right)")
        reward = self.rules.reward(self._layout, self._step, np.array([action]))
        self._step = self._step + 1
        observation = self.rules.observe(self._layout, self._seeds, self._step)
        terminated = bool(self._step >= self._layout.length)
        return observation[0], float(reward[0]), terminated, False, self._info(self._layout)

    def _info(self, layout: LayoutT) -> dict[str, Any]:
        return {"episode_seed": int(self._seeds[0])}


def per_step(per_episode: IntArray, steps: IntArray) -> IntArray:
    """Return an array ``[n]``, shaped to broadcast against steps ``[n]`` or ``[n, T]``."""
    return per_episode[:, None] if steps.ndim == 2 else per_episode


def draw_sign(draws: npt.NDArray[np.uint64]) -> IntArray:
    """Return -1 or +1 from random bits."""
    return (draws & np.uint64(1)).astype(np.int64) * 2 - 1


def draw_below(high: int | IntArray, draws: npt.NDArray[np.uint64]) -> IntArray:
    """Return integers from {0, ..., high - 1} from random bits."""
    return ((draws >> np.uint64(11)) * 2.0**-53 * high).astype(np.int64)


def reward_of(right: BoolArray) -> FloatArray:
    """Return the rewards of right and wrong turns."""
    return np.where(right, np.float32(RIGHT_TURN), np.float32(WRONG_TURN))
