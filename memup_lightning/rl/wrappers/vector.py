"""VectorMemoryObservation: wrapper of a vector environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.rl.collectors.env_driver import autoreset_mode, require_final
from memup_lightning.rl.spaces import take_envs
from memup_lightning.rl.wrappers.env_memory import EnvMemory
from memup_lightning.rl.wrappers.env_type import check_env_type
from memup_lightning.rl.wrappers.frozen import FrozenParts
from memup_lightning.rl.wrappers.spaces import ObservationWithMemory
from memup_lightning.rl.wrappers.trained_on import warn_of_another_env
from memup_lightning.typing import BoolArray, FloatArray


class VectorMemoryObservation(VectorWrapper[Any, Any, Any, Any, Any]):
    """Wrapper of a vector environment that appends the states m_t of a trained memory to the observations.

    It is :class:`~memup_lightning.rl.wrappers.single.MemoryObservation` for N environments, with one forward pass for all
    of them. All autoreset modes of Gymnasium are followed: under ``SAME_STEP`` the last observations of episodes,
    ``infos["final_obs"]``, have their m_t too; under ``DISABLED`` the memory begins again in the environments of
    ``options["reset_mask"]``.

    Args:
        env: of the environment that the memory was trained on.
        checkpoint: path of a checkpoint of ``memup fit``, or of a folder, whose newest run counts, with the weights that it
            ended with; or a model.

    Raises:
        MemUPError: an environment of another type, no such checkpoint, or an environment with other observations or actions
            than the memory was trained on.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], checkpoint: str | Path | MemoryTask | FrozenParts) -> None:
        check_env_type("VectorMemoryObservation", env, VectorEnv)
        super().__init__(env)
        single = env.single_observation_space
        self._memory = EnvMemory(checkpoint, single, env.single_action_space, env.num_envs)
        warn_of_another_env(env, self._memory.parts.path)
        self._joined = ObservationWithMemory(single, self._memory.size, self._memory.bound)
        self.single_observation_space = self._joined.space
        self.observation_space = batch_space(self._joined.space, env.num_envs)
        self._mode = autoreset_mode(env)
        self._resetting: BoolArray = np.zeros(env.num_envs, np.bool_)  # in the next step, under NEXT_STEP
        self._shown: FloatArray = np.zeros((env.num_envs, self._memory.size), np.float32)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        which: BoolArray | None = (options or {}).get("reset_mask")  # the environment may take it out
        observation, infos = self.env.reset(seed=seed, options=options)
        memory = self._memory.begin(observation, which)
        if which is None:
            self._resetting = np.zeros(self.num_envs, np.bool_)
        else:
            memory = np.where(which[:, None], memory, self._shown)
            self._resetting = self._resetting & ~which
        self._shown = memory
        return self._joined.join(observation, memory), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, infos = self.env.step(actions)
        self._memory.act(actions, reward)
        over = terminated | truncated
        is_first = self._resetting
        if self._mode == AutoresetMode.NEXT_STEP:
            self._resetting = over & ~is_first
        elif self._mode == AutoresetMode.SAME_STEP:
            is_first = over
            if over.any():
                infos = {**infos, "final_obs": self._final(require_final(infos.get("final_obs")), over)}
        self._shown = self._memory.step(observation, is_first)
        return self._joined.join(observation, self._shown), reward, terminated, truncated, infos

    def _final(self, final: Any, over: BoolArray) -> Any:
        """Append m_t to the last observations of the episodes that have ended."""
        envs = np.flatnonzero(over)
        observation = take_envs(self.env.single_observation_space, final, envs)
        memory = self._memory.final(observation, envs)
        return self._joined.join_final(final, self._joined.join(observation, memory), memory, envs, over)
