"""Environments that break the interface of Gymnasium, or raise: one sentence that says which call, what and where."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.vector_envs import make_vector_env, reset_env, step_env

LENGTH = 3


class Broken(gymnasium.Env[Any, Any]):
    """Breaks the interface in one way at its second step, or in its reset."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, how: str = "") -> None:
        self.how = how
        if how == "constructor":
            raise RuntimeError("no licence for the simulator")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self._observe() if self.how == "old reset" else (self._observe(), {})

    def _observe(self) -> Any:
        return np.zeros(
            4 if self.how == "shape" and self.time else 3, np.float64 if self.how == "dtype" else np.float32
        )

    def step(self, action: Any) -> Any:
        self.time += 1
        if self.how == "raises":
            raise KeyError("wheel")
        reward = np.ones(1) if self.how == "reward" else 1.0
        over = self.time == LENGTH
        return (
            (self._observe(), reward, over, {})
            if self.how == "old step"
            else (self._observe(), reward, over, False, {})
        )


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            "old step",
            r"step\(\) .* failed: ValueError: .*got 4.*; step\(action\) returns \(observation, reward, terminated",
        ),
        (
            "shape",
            r"^the step\(\) of environment '\w+' returned an observation of shape \[4\] and float32, but its "
            r"observation_space is \[3\] and float32; make the two alike$",
        ),
        ("reward", r"step\(\) .* failed: .*with one number as the reward"),
        ("raises", r"step\(\) .* failed: KeyError: 'wheel' \(test_vector_envs.py, line \d+\)"),
    ],
)
def test_an_environment_whose_step_breaks_the_interface_is_refused(how: str, said: str) -> None:
    env = SyncVectorEnv([partial(Broken, how)] * 2)
    reset_env(env, 0, 10)
    with pytest.raises(MemUPError, match=said):
        step_env(env, np.zeros(2, np.int64), 10)


def test_an_old_reset_is_refused() -> None:
    env = SyncVectorEnv([partial(Broken, "old reset")])
    with pytest.raises(
        MemUPError, match=r"reset\(\) .* failed: .*reset\(seed=None, options=None\) returns \(observation, info"
    ):
        reset_env(env, 0, 10)


def test_an_error_in_a_process_of_its_own_is_named_too() -> None:
    env = AsyncVectorEnv([partial(Broken, "raises")])
    try:
        reset_env(env, 0, 30)
        with pytest.raises(MemUPError, match=r"step\(\) of environment .* failed: KeyError: .*wheel"):
            step_env(env, np.zeros(1, np.int64), 30)
    finally:
        env.close(terminate=True)


def test_a_constructor_that_raises_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = gymnasium.envs.registration.EnvSpec("Broken-v0", entry_point=Broken, kwargs={"how": "constructor"})
    monkeypatch.setitem(gymnasium.registry, "Broken-v0", spec)
    with pytest.raises(MemUPError, match=r"'Broken-v0' cannot be made: RuntimeError: no licence .* \(test_vector_envs"):
        make_vector_env("Broken-v0", 1)
