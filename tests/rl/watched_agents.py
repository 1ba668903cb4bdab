"""An environment that counts its steps, and a memory that keeps what it read."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.models.memory import State
from memup_lightning.protocols import ActorOutput
from memup_lightning.rl.collectors.rollouts import RolloutCollector

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
TMAZE = TMazeDataModule(length=20).task


class Counting(gymnasium.Env[Any, Any]):
    """Shows the number of the step, pays it, and ends after ``length`` steps: by itself, or cut off."""

    observation_space = gymnasium.spaces.Box(-1, 100, (1,))
    action_space = gymnasium.spaces.Discrete(2, start=5)

    def __init__(self, length: int = 3, truncates: bool = False) -> None:
        self.length, self.truncates = length, truncates

    def _see(self) -> Any:
        return np.array([self.count], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._see(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.count += 1
        over = self.count >= self.length
        return self._see(), float(self.count), over and not self.truncates, over and self.truncates, {}


class Seer:
    """Values a step at ten times what it sees, and remembers the sum of all that it saw in the episode."""

    def initial_state(self, envs: int) -> State:
        return torch.zeros(envs)

    def act(self, inputs: Fields, state: State, is_first: Tensor) -> ActorOutput:
        assert isinstance(state, Tensor)
        seen = inputs["observation"][:, 0]
        state = state.masked_fill(is_first, 0) + seen
        record = {"value": 10 * seen, "sum": state} | {f"read.{name}": x for name, x in inputs.items()}
        return ActorOutput(torch.zeros(len(seen), dtype=torch.int64), record, state)

    def value(self, inputs: Fields, state: State, is_first: Tensor) -> Tensor:
        return 10 * inputs["observation"][:, 0]


def counting(mode: AutoresetMode, *envs: tuple[int, bool]) -> RolloutCollector:
    from memup_lightning.datamodules.agent_task import agent_task

    env = SyncVectorEnv([partial(Counting, *given) for given in envs], autoreset_mode=mode)
    task = agent_task(env.single_observation_space, env.single_action_space, "Counting")
    return RolloutCollector(env, task, seed=1)
