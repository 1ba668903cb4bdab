"""TMazeVectorEnv: many T-Mazes in one NumPy environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from memup_lightning.envs.maze import maze_spaces
from memup_lightning.envs.tmaze.rules import TMazeRules
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.rng import hash64
from memup_lightning.typing import BoolArray, FloatArray, IntArray


class TMazeVectorEnv(VectorEnv[FloatArray, IntArray, npt.NDArray[Any]]):
    """Vector environment of T-Mazes (see the module), stepped together in NumPy.

    ``infos`` holds ``episode_seed`` and the hidden truth ``hint``, ``[num_envs]`` each, at every step. Under
    ``SAME_STEP`` it holds ``final_obs`` and ``final_info`` too when an episode has ended.

    Seeds: each maze has a key, and its k-th episode since the keys were set is a function of key and k, whatever the
    other mazes do. ``reset(seed=int)`` draws all keys from that seed; ``reset(seed=[...])`` takes one key a maze, so that
    equal keys give equal mazes at any place; ``reset()`` begins the next episode of every maze.

    Args:
        num_envs: number of mazes.
        autoreset_mode: ``NEXT_STEP`` (the step after the end ignores the action and begins a new episode) or
            ``SAME_STEP`` (the step that ends an episode returns the first observation of the next).
        **rules: arguments of :class:`~memup_lightning.envs.tmaze.rules.TMazeRules`.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **rules: Any,
    ) -> None:
        if num_envs < 1:
            raise MemUPError(f"num_envs={num_envs}; give at least one")
        modes = {AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP}
        if autoreset_mode not in modes | {mode.value for mode in modes}:
            raise MemUPError(f"autoreset_mode={autoreset_mode!r} is not supported; give 'NextStep' or 'SameStep'")
        self.rules = TMazeRules(**rules)
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = maze_spaces(self.rules)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._keys: IntArray | None = None

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        if seed is not None or self._keys is None:
            self._keys = self._draw_keys(seed)
            self._episodes = np.zeros(self.num_envs, np.int64)
        self._seeds = self._next_seeds(np.arange(self.num_envs))
        self._layout = self.rules.layout(self._seeds)
        self._steps = np.zeros(self.num_envs, np.int64)
        return self.rules.observe(self._layout, self._seeds, self._steps), self._infos()

    def step(self, actions: IntArray) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        if self._keys is None:
            raise MemUPError("the mazes are not begun; call reset() before step()")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or ((actions != 0) & (actions != 1)).any():
            raise MemUPError(
                f"actions must be {counted(self.num_envs, 'number')}, 0 (left) or 1 (right) each, got {actions}"
            )
        # Under NEXT_STEP a finished maze is one step past its junction: this call gives no reward and resets it.
        begin = self._steps == self._layout.length
        reward = self.rules.reward(self._layout, self._steps, actions)
        terminated = self.rules.at_junction(self._layout, self._steps)
        self._steps += 1
        final: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            begin = terminated
            if begin.any():
                final_obs = self.rules.observe(self._layout, self._seeds, self._steps)
                final = {"final_obs": final_obs, "_final_obs": begin, "final_info": self._infos(), "_final_info": begin}
        if begin.any():
            self._begin(np.flatnonzero(begin))
        observation = self.rules.observe(self._layout, self._seeds, self._steps)
        return observation, reward, terminated, np.zeros(self.num_envs, np.bool_), {**self._infos(), **final}

    def _begin(self, mazes: IntArray) -> None:
        """Start the next episode of some mazes."""
        self._seeds[mazes] = self._next_seeds(mazes)
        new = self.rules.layout(self._seeds[mazes])
        parts: list[npt.NDArray[Any]] = list(self._layout)
        for part, fresh in zip(parts, new, strict=True):
            part[mazes] = fresh
        self._steps[mazes] = 0

    def _next_seeds(self, mazes: IntArray) -> IntArray:
        assert self._keys is not None
        seeds = hash64(self._keys[mazes], self._episodes[mazes]) >> np.uint64(1)  # 63 bits: an int64 holds them
        self._episodes[mazes] += 1
        return seeds.astype(np.int64)

    def _draw_keys(self, seed: int | Sequence[int] | None) -> IntArray:
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            return self.np_random.integers(2**63, size=self.num_envs)
        if len(seed) != self.num_envs:
            raise MemUPError(f"got {len(seed)} seeds for {self.num_envs} mazes; give one integer for all, or one each")
        return np.array(seed, np.int64)

    def _infos(self) -> dict[str, Any]:
        every = np.ones(self.num_envs, np.bool_)
        seeds, hints = self._seeds.copy(), self._layout.hint.copy()
        return {"episode_seed": seeds, "_episode_seed": every, "hint": hints, "_hint": every}
