"""Environments with the interface of Gym before 0.26: what reset() and step() must return is said, whatever they return."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from memup_lightning import MemoryObservation
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.returned_values import wrong_return
from memup_lightning.rl.vector_envs import make_vector_env, reset_env, step_env
from tests.rl.wrapped_walk import memory_of

SPACES: dict[str, spaces.Space[Any]] = {
    "two numbers": spaces.Box(-1, 1, (2,), np.float32),
    "three numbers": spaces.Box(-1, 1, (3,), np.float32),
    "two fields": spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Discrete(2)}),
    "a tuple": spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3))),
    "a class": spaces.Discrete(3),
}
RESET = r"reset\(\) .*returned the observation alone.* must return \(observation, info\), with \{\} as info"


class Old(gymnasium.Env[Any, Any]):
    """Has the interface of Gym before 0.26, in reset() or in step()."""

    action_space = spaces.Discrete(2)

    def __init__(self, shown: str = "two numbers", old: Literal["reset", "step"] = "reset") -> None:
        self.observation_space, self.old = SPACES[shown], old

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        observation = self.observation_space.sample()
        return observation if self.old == "reset" else (observation, {})

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, {}


@pytest.mark.parametrize("shown", SPACES)
def test_a_reset_that_returns_the_observation_alone_is_named(shown: str) -> None:
    with pytest.raises(MemUPError, match=RESET):
        reset_env(SyncVectorEnv([partial(Old, shown)] * 2), 0, 10)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("steps", [None, 10])
@pytest.mark.filterwarnings("ignore")  # Gymnasium's own, of its checks and processes
def test_a_step_that_returns_four_values_is_named_in_wrappers_and_processes(
    vectorization: Literal["sync", "async"], steps: int | None
) -> None:
    gymnasium.register("Old-v0", Old, max_episode_steps=steps)
    env = make_vector_env("Old-v0", 1, {"old": "step"}, (), vectorization)
    try:
        reset_env(env, 0, 10)
        with pytest.raises(MemUPError, match=r"environment 'Old-v0' returned 4 values.* terminated, truncated, info"):
            step_env(env, np.zeros(1, np.int64), 10)
    finally:
        env.close()
        del gymnasium.registry["Old-v0"]


@pytest.mark.parametrize("old", ["reset", "step"])
def test_the_wrapper_of_a_memory_names_it_too(old: Literal["reset", "step"]) -> None:
    made = Old("three numbers", old)
    env = MemoryObservation(made, memory_of(made))

    def play() -> None:
        env.reset()
        env.step(0)

    with pytest.raises(MemUPError, match=rf"the {old}\(\) of environment Old returned .*{old}\(\) must return"):
        play()


def test_what_is_right_is_not_named_and_other_mistakes_are() -> None:
    assert wrong_return("reset", (0, {})) is None
    assert wrong_return("step", (0, 1.0, True, False, {})) is None
    assert "returned 3 values; step() must return" in str(wrong_return("step", (0, 1.0, True)))
    assert "a bool as info" in str(wrong_return("step", (0, 1.0, {}, True, False)))
    assert "returned a float; step() must return" in str(wrong_return("step", 1.0))
