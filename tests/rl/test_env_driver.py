"""Steps of vector environments: autoreset modes as strings and as the enum, and numbers that are not finite."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.envs.policies import random_policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.rl.algorithms import IMPALA, PPO
from memup_lightning.rl.collectors.env_driver import EnvDriver, episode_quota
from memup_lightning.rl.collectors.episodes import collect
from memup_lightning.rl.collectors.rollouts import RolloutCollector

MODES = list(AutoresetMode)


class Counting(gymnasium.Env[Any, Any]):
    """Shows the number of the step and returns it as reward; at one step, one of the two is another number."""

    observation_space = gymnasium.spaces.Dict({"place": gymnasium.spaces.Box(-1, 100, (2,))})
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int = 4, at: int = -1, number: float = 0.0, field: str = "place") -> None:
        self.length, self.at, self.number, self.field = length, at, number, field

    def _observe(self) -> Any:
        here = self.field == "place" and self.count == self.at
        return {"place": np.array([self.count, self.number if here else 0], np.float32)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._observe(), {"count": 0}

    def step(self, action: Any) -> Any:
        reward = self.number if self.field == "reward" and self.count == self.at else float(self.count)
        self.count += 1
        return self._observe(), reward, False, self.count == self.length, {"count": self.count}


def vector(mode: AutoresetMode, *makers: Any) -> VectorEnv[Any, Any, Any]:
    return SyncVectorEnv(makers, autoreset_mode=mode)


def collector(env: VectorEnv[Any, Any, Any]) -> RolloutCollector:
    return RolloutCollector(env, agent_task(env.single_observation_space, env.single_action_space, "Counting"), 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["value", "name"])
def test_a_mode_named_by_a_string_is_followed_as_the_enum(mode: AutoresetMode, name: str) -> None:
    steps = []
    for declared in (mode, getattr(mode, name), getattr(mode, name).lower()):
        env = vector(mode, partial(Counting, 3), partial(Counting, 2))
        env.metadata = {**env.metadata, "autoreset_mode": declared}
        driver = EnvDriver(env)
        observation, _ = driver.reset(0)
        rows = []
        for _ in range(7):
            step = driver.step(np.zeros(2, np.int64))
            rows.append((observation["place"][:, 0].tolist(), step.valid.tolist(), step.is_first.tolist()))
            rows.append((driver.step_index.tolist(), step.infos["count"].tolist(), step.truncated.tolist()))
            observation = step.observation
            assert observation["place"][:, 0].tolist() == driver.step_index.tolist()
        steps.append(rows)
    assert steps[0] == steps[1] == steps[2]


@pytest.mark.parametrize("mode", MODES)
def test_recorded_episodes_are_the_same_under_every_mode(mode: AutoresetMode) -> None:
    env = vector(mode, partial(Counting, 3), partial(Counting, 2))
    for episode in collect(env, random_policy, 4, 0, infos_kept=["count"]):
        count = episode.arrays["observation.place"][:, 0].tolist()
        assert count in ([0, 1, 2], [0, 1])
        assert episode.arrays["info.count"].tolist() == count


@pytest.mark.parametrize("declared", ["sometimes", None, 3])
def test_an_unknown_mode_is_refused(declared: Any) -> None:
    env = vector(AutoresetMode.NEXT_STEP, Counting)
    env.metadata = {**env.metadata, "autoreset_mode": declared}
    with pytest.raises(MemUPError, match=r"autoreset_mode.*Gymnasium does not know.*AutoresetMode.SAME_STEP"):
        collector(env)


def test_same_step_without_last_observations_is_refused() -> None:
    class NoFinal(SyncVectorEnv):
        def step(self, actions: Any) -> Any:
            *step, infos = super().step(actions)
            return *step, {name: x for name, x in infos.items() if "final_obs" not in name}

    player = collector(NoFinal([Counting], autoreset_mode=AutoresetMode.SAME_STEP))
    with pytest.raises(MemUPError, match="hold no 'final_obs'"):
        player.collect(agent("PPO", player), 6)


def agent(name: str, player: RolloutCollector) -> PPO | IMPALA:
    env = player.env
    task = agent_task(env.single_observation_space, env.single_action_space, "Counting")
    return IMPALA(task) if name == "IMPALA" else PPO(task, memory=LSTM if name == "PPO-LSTM" else None)


@pytest.mark.parametrize("name", ["PPO", "PPO-LSTM", "IMPALA"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("field", "at", "number", "message"),
    [
        ("place", 2, np.nan, r"environment 1 gave nan at step 2 of its episode \(field observation.place\)"),
        ("place", 0, np.inf, r"environment 1 gave inf at step 0 of its episode \(field observation.place\)"),
        ("place", 4, -np.inf, r"environment 1 gave -inf at step 4 of its episode \(field observation.place\)"),
        ("place", 1, 1e30, r"environment 1 gave 1e\+30 at step 1 of its episode \(field observation.place\)"),
        ("reward", 3, np.nan, r"environment 1 gave nan at step 3 of its episode \(field reward\)"),
        ("reward", 2, -1e30, r"environment 1 gave -1e\+30 at step 2 of its episode \(field reward\)"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_with_its_place(
    name: str, mode: AutoresetMode, field: str, at: int, number: float, message: str
) -> None:
    def play() -> None:
        player = collector(vector(mode, partial(Counting, 3), partial(Counting, 4, at, number, field)))
        player.collect(agent(name, player), 12)

    with pytest.raises(MemUPError, match=message):
        play()


@pytest.mark.parametrize("mode", MODES)
def test_recording_refuses_a_number_that_is_not_finite(mode: AutoresetMode) -> None:
    env = vector(mode, partial(Counting, 3), partial(Counting, 4, 2, np.nan))
    with pytest.raises(MemUPError, match=r"observation\.place\S* at step 2 of episode 0 of environment 1 is nan"):
        list(collect(env, random_policy, 4, 0))


def test_each_environment_contributes_the_same_number_of_episodes() -> None:
    assert episode_quota(3, 8).tolist() == [3, 3, 2]


def test_a_class_that_the_space_does_not_have_is_refused_with_its_place() -> None:
    class Beyond(Counting):
        observation_space = gymnasium.spaces.Discrete(3)  # type: ignore[assignment]

        def _observe(self) -> Any:
            return self.count

    player = collector(SyncVectorEnv([partial(Beyond, 9)] * 2))
    with pytest.raises(MemUPError, match=r"environment 0 gave class 3 at step 3 of its episode \(field observation\)"):
        player.collect(agent("PPO", player), 8)


@pytest.mark.parametrize("mode", MODES)
def test_environments_that_never_end_are_warned_of_once(
    mode: AutoresetMode, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr("memup_lightning.rl.collectors.env_driver._ENDLESS", 5)

    def warned(length: int) -> list[str]:
        recwarn.clear()
        driver = EnvDriver(vector(mode, partial(Counting, length), partial(Counting, length + 1)))
        driver.reset(0)
        for _ in range(15):
            driver.step(np.zeros(2, np.int64))
        return [str(x.message) for x in recwarn]

    assert warned(5) == []
    (said,) = warned(6)
    assert "no episode of SyncVectorEnv has ended after 5 steps" in said
    assert "env_kwargs={'max_episode_steps': 1000}" in said
    assert "is refused" not in said


def test_the_warning_of_endless_episodes_says_when_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memup_lightning.rl.collectors.env_driver._ENDLESS", 5)
    endless = vector(AutoresetMode.NEXT_STEP, partial(Counting, 1000))
    said = r"has ended after 5 steps, and one of more than 12 \(max_steps\) is refused; if none ever ends, give it"
    with pytest.warns(UserWarning, match=said), pytest.raises(MemUPError, match="is longer than max_steps=12"):
        list(collect(endless, random_policy, 1, seed=0, max_steps=12))
