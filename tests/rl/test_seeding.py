"""An environment whose episodes do not follow from the seed of its reset is pointed out, and nothing else changes."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from memup_lightning.datamodules import GymnasiumDataModule
from memup_lightning.datamodules.recorded.environments import gymnasium as gymnasium_data
from memup_lightning.envs.policies import random_policy
from memup_lightning.rl.collectors import seeding
from memup_lightning.rl.collectors.seeding import repeated_noise, repeats_episodes
from memup_lightning.rl.vector_envs import make_vector_env
from tests.rl.counting_env import Env, warned


class Cue(Env):
    """Shows one of two cues at the first of 5 steps, and pays by it at the last."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(2)
    resets = 0

    def __init__(self, draws: str = "self.np_random", seconds: float = 0.0) -> None:
        self.draws, self.seconds = draws, seconds

    def _draw(self) -> int:
        if self.draws == "random":
            return random.randrange(2)
        if self.draws == "np.random":
            return int(np.random.randint(2))  # noqa: NPY002 (the mistake)
        return int(self.np_random.integers(2))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        Cue.resets += 1
        time.sleep(self.seconds)
        self.time, self.cue = 0, self._draw()
        return 1 + self.cue, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return 0, float(self.time == 5 and self.cue == action), self.time == 5, False, {}


gymnasium.register("tests/Cue-v0", Cue)


def module(draws: str) -> GymnasiumDataModule:
    return GymnasiumDataModule("tests/Cue-v0", {"draws": draws}, num_train=8, num_val=8, num_envs=4, lanes=4)


@pytest.mark.parametrize("draws", ["self.np_random", "np.random", "random"])
def test_an_environment_that_ignores_the_seed_is_pointed_out_once(draws: str, recwarn: pytest.WarningsRecorder) -> None:
    data = module(draws)
    data.setup("fit")
    data.setup("test")
    said = [x for x in warned(recwarn).splitlines() if "plays other episodes after a reset with the same seed" in x]
    assert len(said) == (draws != "self.np_random")
    assert all(x.startswith("tests/Cue-v0 ") and "draw from self.np_random" in x for x in said)


def test_asking_changes_no_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    def collected() -> list[Any]:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        data = module("np.random")
        for stage in ("fit", "test"):
            data.setup(stage)
        drawn = random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002
        return [*drawn, *(s.read(e, 0, 5)["observation"].tolist() for s in data.sources.values() for e in range(8))]

    asked = collected()
    monkeypatch.setattr(gymnasium_data, "repeats_episodes", lambda *given: True)
    assert collected() == asked


def test_an_environment_that_begins_slowly_or_raises_is_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(seconds: float = 0.0) -> Any:
        return make_vector_env("tests/Cue-v0", 1, {"draws": "np.random", "seconds": seconds})

    def broken(observations: Any, action_space: Any) -> Any:
        raise KeyError("door")

    assert repeats_episodes(made, random_policy, 0) is False
    assert repeats_episodes(made, broken, 0) is None
    monkeypatch.setattr(seeding, "_SECONDS", 0.02)
    Cue.resets = 0
    assert repeats_episodes(partial(made, 0.03), random_policy, 0) is None
    assert Cue.resets <= 1


class Noisy(Cue):
    """Shows the cue, a clock, where the actions led, and noise."""

    observation_space = spaces.Box(-100, 100, (4,), np.float32)

    def __init__(self, draws: str, own: str = "noise") -> None:
        super().__init__(draws)
        self.own, self.rng = own, np.random.default_rng(3)

    def _shown(self) -> Any:
        rng = self.rng if self.own == "noise" else self.np_random
        return np.array([self.cue * (self.time == 0), self.time, self.at, rng.uniform(-1, 1)], np.float32)

    def _draw(self) -> int:
        return int(self.rng.integers(2)) if self.own == "cue" else super()._draw()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.at = 0
        super().reset(seed=seed)
        return self._shown(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.at += int(action)
        _, *rest = super().step(action)
        return self._shown(), *rest  # type: ignore[return-value]


gymnasium.register("tests/Noisy-v0", Noisy)


@pytest.mark.parametrize(("own", "found"), [("noise", ["observation[3]"]), ("cue", ["observation[0]"]), ("none", [])])
def test_what_an_environment_draws_for_itself_is_found(own: str, found: list[str]) -> None:
    make = partial(make_vector_env, "tests/Noisy-v0", 1, {"draws": "self.np_random", "own": own})
    assert [x for x in repeated_noise(make, 1) if x != "reward"] == found


@pytest.mark.parametrize("env_id", ["CartPole-v1", "FrozenLake-v1", "Taxi-v3", "Blackjack-v1", "Pendulum-v1"])
def test_environments_that_draw_by_their_seed_or_not_at_all_are_not_pointed_out(env_id: str) -> None:
    for seed in range(5):
        assert repeated_noise(partial(make_vector_env, env_id, 1), seed) == []


def test_noise_that_each_environment_repeats_is_pointed_out(recwarn: pytest.WarningsRecorder) -> None:
    data = GymnasiumDataModule(
        "tests/Noisy-v0", {"draws": "self.np_random"}, num_train=8, num_val=8, num_envs=4, lanes=4
    )
    data.setup("fit")
    assert "shows the same in each of its 4 environments, in training and validation: observation[3] differs" in (
        warned(recwarn)
    )
