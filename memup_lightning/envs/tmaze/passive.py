"""The passive T-Maze of RATE: four moves, and a step limit that allows for one wrong one.

An observation is four numbers, ``[y, clue, flag, noise]``:

- y: 0 in the corridor, 1 or -1 after the turn.
- clue: -1 (down) or +1 (up) at the first step, half of the episodes each; else 0.
- flag: 1 where the junction is reached, else 0.
- noise: -1, 0 or 1, drawn at every step.

Four actions: 0 = right, 1 = up, 2 = left, 3 = down; a move into a wall does nothing. An episode has ``length`` steps at
most, and the junction is ``length - 2`` moves away, so one step may be lost. A turn at the junction ends the episode: the
one of the clue with a reward of 1, the other with 0. All other rewards are 0.

Source: the passive T-Maze of Ni et al. ("When Do Transformers Shine in RL?", NeurIPS 2023) without its penalty, with the
observations of RATE (Cherepanov et al., "Recurrent Action Transformer with Memory", ICLR 2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from memup_lightning.envs.policies import InformedPolicy
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import BoolArray, FloatArray, IntArray

RIGHT, UP, LEFT, DOWN = range(4)
_MOVE_X, _MOVE_Y = np.array([1, 0, -1, 0]), np.array([0, 1, 0, -1])
_SHORTEST = 3  # steps of an episode: one move, the turn, and the one that may be lost


class _Mazes:
    """Some mazes that are stepped together.

    Args:
        count: number of mazes, N.
        length: steps of an episode, at most.
    """

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)

    def __init__(self, count: int, length: int) -> None:
        if length < _SHORTEST:
            raise MemUPError(f"length={length} is too short for a corridor and a turn; give at least {_SHORTEST}")
        self.length, self.junction = length, length - 2
        self.clue, self.x, self.y, self.steps = (np.zeros(count, np.int64) for _ in range(4))
        self.flagged = np.zeros(count, np.bool_)  # whether the junction was reached before

    def begin(self, mazes: BoolArray, rng: np.random.Generator) -> None:
        """Begin the next episode in some mazes, bool ``[N]``."""
        self.clue[mazes] = 2 * rng.integers(2, size=int(mazes.sum())) - 1
        self.x[mazes] = self.y[mazes] = self.steps[mazes] = 0
        self.flagged[mazes] = False

    def observe(self, rng: np.random.Generator) -> FloatArray:
        """Return the observations ``[N, 4]``; to be called once after each step."""
        reached = (self.x == self.junction) & ~self.flagged
        self.flagged |= reached
        noise = rng.integers(-1, 2, len(self.x))
        return np.stack([self.y, self.clue * (self.steps == 0), reached, noise], axis=1).astype(np.float32)

    def move(self, actions: IntArray) -> tuple[FloatArray, BoolArray, BoolArray]:
        """Take a step in every maze; return rewards, terminated and truncated, ``[N]`` each."""
        turned = (self.x == self.junction) & (_MOVE_Y[actions] != 0)
        self.y = np.where(turned, _MOVE_Y[actions], 0)
        self.x = np.clip(self.x + _MOVE_X[actions], 0, self.junction)
        self.steps += 1
        return (turned & (self.y == self.clue)).astype(np.float32), turned, ~turned & (self.steps >= self.length)


class PassiveTMazeEnv(gymnasium.Env[FloatArray, np.int64]):
    """One passive T-Maze (see the module). ``info`` holds the hidden truth ``clue`` at every step.

    Args:
        length: steps of an episode, at most.
    """

    observation_space, action_space = _Mazes.observation_space, _Mazes.action_space

    def __init__(self, length: int = 90) -> None:
        self._mazes = _Mazes(1, length)
        self._playing = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        super().reset(seed=seed)
        self._mazes.begin(np.ones(1, np.bool_), self.np_random)
        self._playing = True
        return self._mazes.observe(self.np_random)[0], self._info()

    def step(self, action: np.int64) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        if not self._playing:
            raise MemUPError("the episode is over or not begun; call reset() before step()")
        if not self.action_space.contains(action):
            raise MemUPError(f"action {action!r} is not 0 (right), 1 (up), 2 (left) or 3 (down)")
        reward, terminated, truncated = (x[0] for x in self._mazes.move(np.array([action])))
        self._playing = not (terminated or truncated)
        return self._mazes.observe(self.np_random)[0], float(reward), bool(terminated), bool(truncated), self._info()

    def _info(self) -> dict[str, Any]:
        return {"clue": int(self._mazes.clue[0])}


class PassiveTMazeVectorEnv(VectorEnv[FloatArray, IntArray, npt.NDArray[Any]]):
    """Vector environment of passive T-Mazes (see the module), stepped together in NumPy; ``NEXT_STEP`` autoreset.

    ``infos`` holds the hidden truth ``clue``, ``[num_envs]``, at every step.

    Args:
        num_envs: number of mazes.
        length: steps of an episode, at most.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(self, num_envs: int = 1, length: int = 90) -> None:
        if num_envs < 1:
            raise MemUPError(f"num_envs={num_envs}; give at least one")
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = _Mazes.observation_space, _Mazes.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._mazes = _Mazes(num_envs, length)
        self._over: BoolArray | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        super().reset(seed=seed)
        self._mazes.begin(np.ones(self.num_envs, np.bool_), self.np_random)
        self._over = np.zeros(self.num_envs, np.bool_)
        return self._mazes.observe(self.np_random), self._infos()

    def step(self, actions: IntArray) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        if self._over is None:
            raise MemUPError("the mazes are not begun; call reset() before step()")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or ((actions < 0) | (actions > DOWN)).any():
            raise MemUPError(f"actions must be {self.num_envs} numbers from 0 to 3, got {actions}")
        begins = self._over  # under NEXT_STEP this call only begins the next episode there
        reward, terminated, truncated = self._mazes.move(actions)
        reward, terminated, truncated = reward * ~begins, terminated & ~begins, truncated & ~begins
        if begins.any():
            self._mazes.begin(begins, self.np_random)
        self._over = terminated | truncated
        return self._mazes.observe(self.np_random), reward, terminated, truncated, self._infos()

    def _infos(self) -> dict[str, Any]:
        return {"clue": self._mazes.clue.copy(), "_clue": np.ones(self.num_envs, np.bool_)}


class PassiveTMazeExpert(InformedPolicy):
    """Expert of the passive T-Maze: it walks to the junction and turns as the clue said, which it reads from the infos."""

    def __call__(
        self, observations: FloatArray, action_space: gymnasium.Space[Any], infos: Mapping[str, Any]
    ) -> IntArray:
        """Return an action for each environment; see :class:`~memup_lightning.envs.policies.InformedPolicy`."""
        turn = np.where(np.asarray(infos["clue"]) > 0, UP, DOWN)
        return np.where(observations[:, 2] > 0, turn, RIGHT)
