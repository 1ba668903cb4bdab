"""An environment, and memories that were trained on it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from memup_lightning import LSTM, MemUP
from memup_lightning.datamodules.agent_task import agent_task

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
FLAT = spaces.Box(-100, 100, (2,), np.float64)
OBSERVATIONS = {
    "flat": FLAT,
    "dict": spaces.Dict({"place": spaces.Discrete(5, start=3), "sensor": FLAT}),
    "number": spaces.Discrete(5, start=3),
    "tuple": spaces.Tuple((FLAT, spaces.MultiDiscrete([3, 4]))),
    "image": spaces.Box(0, 255, (1, 8, 9), np.uint8),
}
ACTIONS = {
    "one": spaces.Discrete(3, start=2),
    "box": spaces.Box(-1, 1, (2,)),
    "dict": spaces.Dict({"turn": spaces.Discrete(3, start=-1), "force": spaces.Box(0, 9, (1,))}),
}


class Walk(gymnasium.Env[Any, Any]):
    """Shows and pays random numbers, and ends after 2 to 4 steps: by itself, or cut off."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, kind: str = "flat", action: str = "one") -> None:
        self.observation_space, self.action_space = copy.deepcopy((OBSERVATIONS[kind], ACTIONS[action]))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left = int(self.np_random.integers(2, 5))
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.left -= 1
        truncates = bool(self.np_random.integers(2))
        over = not self.left
        reward = float(self.np_random.normal())
        return self.observation_space.sample(), reward, over and not truncates, over and truncates, {}


def memory_of(env: gymnasium.Env[Any, Any], core: Callable[[int], Any] | None = None) -> MemUP:
    """A memory for an environment, with random weights and with units that no one chose."""
    torch.manual_seed(1)
    model = MemUP(
        agent_task(env.observation_space, env.action_space, "env"), memory=core or partial(LSTM, hidden_size=6)
    )
    for part in model.encoder.modules():
        if hasattr(part, "is_identity"):
            part.fit(np.random.default_rng(1).normal(3, 20, (50, len(part.center))))
    return model


def leaves(name: str, space: Any, x: Any) -> dict[str, Any]:
    """An observation or action as training records it."""
    if isinstance(space, spaces.Dict):
        return {k: v for key, part in space.items() for k, v in leaves(f"{name}.{key}", part, x[key]).items()}
    if isinstance(space, spaces.Tuple):
        return {k: v for n, part in enumerate(space) for k, v in leaves(f"{name}.{n}", part, x[n]).items()}
    if space == OBSERVATIONS["image"]:
        x = np.moveaxis(x, 0, -1)
    return {name: np.asarray(x) - getattr(space, "start", 0)}


def parts(env: Any, x: Any) -> tuple[Any, Any]:
    """The environment's own observation, and m, of an observation of the wrapper."""
    inner = env.env.observation_space if not hasattr(env, "num_envs") else env.env.single_observation_space
    if isinstance(x, np.ndarray):
        return x[..., : inner.shape[0]], x[..., inner.shape[0] :]
    own = {key: y for key, y in x.items() if key != "memory" and not key.startswith("_")}
    return own if isinstance(inner, spaces.Dict) else own["observation"], x["memory"]
