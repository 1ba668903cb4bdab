"""MemoryObservation: wrapper of one environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.rl.returned_values import Call, wrong_return
from memup_lightning.rl.wrappers.env_memory import EnvMemory
from memup_lightning.rl.wrappers.env_type import check_env_type
from memup_lightning.rl.wrappers.frozen import FrozenParts
from memup_lightning.rl.wrappers.spaces import ObservationWithMemory
from memup_lightning.rl.wrappers.trained_on import warn_of_another_env


class MemoryObservation(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Wrapper that appends the state m_t of a trained memory to the observation, for any library that takes Gymnasium::

        env = MemoryObservation(gymnasium.make("Warehouse-v0"), "runs/warehouse")

    A flat Box observation grows by the size of m_t, at its end; a Dict gets the entry ``memory``; any other observation
    becomes a Dict of ``observation`` and ``memory``. The memory stays as it was trained, computes on the CPU and begins
    again with every episode. It reads what it read in training: the observation, the previous action and the previous
    reward, as this wrapper sees them; so wrappers that change these come after it.

    Args:
        env: the environment that the memory was trained on.
        checkpoint: path of a checkpoint of ``memup fit``, or of a folder, whose newest run counts, with the weights that it
            ended with; or a model.

    Raises:
        MemUPError: an environment of another type, no such checkpoint, or an environment with other observations or actions
            than the memory was trained on.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], checkpoint: str | Path | MemoryTask | FrozenParts) -> None:
        check_env_type("MemoryObservation", env, gymnasium.Env)
        gymnasium.Wrapper.__init__(self, env)
        self._memory = EnvMemory(checkpoint, env.observation_space, env.action_space)
        warn_of_another_env(env, self._memory.parts.path)
        given = str(checkpoint) if isinstance(checkpoint, str | Path) else self._memory.parts
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, checkpoint=given)
        self._joined = ObservationWithMemory(env.observation_space, self._memory.size, self._memory.bound)
        self.observation_space = self._joined.space
        self._goes_on = np.zeros(1, np.bool_)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self._checked("reset", self.env.reset(seed=seed, options=options))
        return self._joined.join(observation, self._memory.begin(observation)[0]), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self._checked("step", self.env.step(action))
        self._memory.act(action, reward)
        memory = self._memory.step(observation, self._goes_on)[0]
        return self._joined.join(observation, memory), reward, terminated, truncated, info

    def _checked(self, call: Call, result: Any) -> Any:
        """Refuse what is not as Gymnasium has it."""
        if (found := wrong_return(call, result)) is not None:
            raise MemUPError(f"the {call}() of environment {type(self.env.unwrapped).__name__} {found}")
        return result
