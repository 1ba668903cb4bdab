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
FLAGS = spaces.MultiBinary(4)


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
        return self._observe(), {}

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
            r"step\(\) of environment 'SyncVectorEnv' returned 4 values, .*, as in Gym before 0.26; step\(\) must return "
            r"\(observation, reward, terminated, truncated, info\): say terminated or truncated in place of done; ",
        ),
        (
            "shape",
            r"^the step\(\) of environment '\w+' returned an observation of shape \[4\] and float32, but its "
            r"observation_space is \[3\] and float32; correct the environment: make the two alike$",
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


class Fields(gymnasium.Env[Any, Any]):
    """Shows fields, one of them not as its space has it."""

    observation_space = spaces.Dict(
        {"place": spaces.Box(-1, 1, (2,), np.float32), "parts": spaces.Tuple((spaces.Discrete(3), FLAGS))}
    )
    action_space = spaces.Discrete(2)

    def __init__(self, **wrong: Any) -> None:
        self.wrong = wrong

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        shown = {"place": np.zeros(2, np.float32), "parts": (1, np.zeros(4, np.int8))} | self.wrong
        return {name: x for name, x in shown.items() if x is not None}, {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"place": np.zeros(3, np.float32)},
            r"observation whose field observation\.place is of shape \[3\] and float32, but its observation_space has "
            r"there \[2\] and float32; correct the environment",
        ),
        (
            {"parts": (1, np.zeros(5, np.int8))},
            r"field observation\.parts\.1 is of shape \[5\] .* there \[4\] and int8",
        ),
        ({"parts": (1,)}, r"without the field observation\.parts\.1, which its observation_space has"),
        ({"place": None}, r"without the field observation\.place"),
        ({"place": [[1.0], [1.0, 2.0]]}, r"field observation\.place is no array"),
    ],
)
def test_a_field_of_an_observation_that_is_not_as_its_space_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(MemUPError, match=rf"the reset\(\) of environment 'SyncVectorEnv' returned an .*{said}"):
        reset_env(SyncVectorEnv([partial(Fields, **wrong)] * 2), 0, 10)


@pytest.mark.parametrize("call", ["reset", "step"])
@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (None, r"that is None, but its observation_space is Dict\("),
        (
            {"place": None, "parts": (1, np.zeros(4, np.int8))},
            r"whose field observation\.place is None, but its observation_space has there \[2\] and float32",
        ),
    ],
)
def test_an_observation_that_is_none_is_named(call: str, shown: Any, said: str) -> None:
    class Nothing(Fields):
        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            return (shown, {}) if call == "reset" else super().reset()

        def step(self, action: Any) -> Any:
            return shown, 1.0, False, False, {}

    env = SyncVectorEnv([Nothing])
    act = partial(reset_env, env, 0, 10) if call == "reset" else partial(step_env, env, np.zeros(1, np.int64), 10)
    if call == "step":
        reset_env(env, 0, 10)
    with pytest.raises(
        MemUPError, match=rf"the {call}\(\) of environment 'SyncVectorEnv' returned an observation {said}"
    ):
        act()


def test_a_reset_that_raises_has_shown_nothing() -> None:
    class Raises(Broken):
        def _observe(self) -> Any:
            raise KeyError("wheel")

    with pytest.raises(MemUPError, match=r"reset\(\) .* failed: KeyError: 'wheel'"):
        reset_env(SyncVectorEnv([Raises, Raises]), 0, 10)


def test_a_wrong_shape_in_a_process_of_its_own_is_named_too() -> None:
    env = AsyncVectorEnv([partial(Fields, place=np.zeros(3, np.float32))])
    try:
        with pytest.raises(MemUPError, match=r"another shape than its observation_space .*correct the environment"):
            reset_env(env, 0, 30)
    finally:
        env.close(terminate=True)


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
