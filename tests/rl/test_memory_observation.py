"""A trained memory behind Gymnasium's interface: m_t of a wrapped environment is that of the recorded episode."""

from __future__ import annotations

import pickle
import warnings
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from torch import nn

from memup_lightning import MemoryObservation, MemUP, TaskSpec, VectorMemoryObservation
from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.envs import TMazeEnv, TMazeVectorEnv
from tests.rl.wrapped_walk import ACTIONS, FLAT, MODES, Walk, leaves, memory_of, parts


class Recorder:
    """Episodes of one environment, with the m that was shown at each of their steps and after the last one."""

    def __init__(self, env: gymnasium.Env[Any, Any], model: MemUP) -> None:
        self.env, self.model, self.checked = env, model, 0

    def begin(self, observation: Any, memory: Any) -> None:
        self.observations, self.memories = [observation], [memory]
        self.actions: list[Any] = []
        self.rewards: list[float] = []

    def step(self, action: Any, reward: float, observation: Any, memory: Any, over: bool) -> None:
        self.actions.append(action)
        self.rewards.append(reward)
        self.observations.append(observation)
        self.memories.append(memory)
        if over:
            steps = [
                leaves("observation", self.env.observation_space, o) | leaves("action", self.env.action_space, a)
                for o, a in zip(self.observations, [*self.actions, action], strict=True)  # the last action is not read
            ]
            episode = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
            (expected,) = self.model.encode([episode | {"reward": np.array([*self.rewards, 0.0])}])
            np.testing.assert_allclose(np.stack(self.memories), expected, atol=1e-5)
            self.checked += 1


def row(x: Any, env: int) -> Any:
    if isinstance(x, dict):
        return {key: row(y, env) for key, y in x.items()}
    return tuple(row(y, env) for y in x) if isinstance(x, tuple) else x[env]


@pytest.mark.parametrize(
    ("kind", "action"), [("flat", "one"), ("dict", "dict"), ("number", "box"), ("tuple", "one"), ("image", "one")]
)
def test_one_environment_shows_the_memory_of_the_recorded_episode(kind: str, action: str) -> None:
    bare = Walk(kind, action)
    model = memory_of(bare)
    env = MemoryObservation(bare, model)
    check = Recorder(bare, model)
    env.action_space.seed(1)
    for episode in range(4):
        observation, _ = env.reset(seed=episode)
        assert env.observation_space.contains(observation)
        check.begin(*parts(env, observation))
        over = False
        while not over:
            act = env.action_space.sample()
            observation, reward, terminated, truncated, _ = env.step(act)
            over = terminated or truncated
            check.step(act, reward, *parts(env, observation), over)
    assert check.checked == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "action"), [("flat", "one"), ("dict", "dict"), ("number", "one"), ("tuple", "box")])
def test_many_environments_show_it_under_every_autoreset_mode(kind: str, action: str, mode: AutoresetMode) -> None:
    n, bare = 3, Walk(kind, action)
    model = memory_of(bare)
    env = VectorMemoryObservation(SyncVectorEnv([partial(Walk, kind, action)] * n, autoreset_mode=mode), model)
    check = [Recorder(bare, model) for _ in range(n)]
    env.action_space.seed(1)
    shown, _ = env.reset(seed=1)
    observation, memory = parts(env, shown)
    for k in range(n):
        check[k].begin(row(observation, k), memory[k])
    resetting = np.zeros(n, bool)
    finals = 0
    for _ in range(14):
        assert env.observation_space.contains(shown)
        acts = env.action_space.sample()
        shown, reward, terminated, truncated, infos = env.step(acts)
        observation, memory = parts(env, shown)
        over = terminated | truncated
        per_env = list(gymnasium.vector.utils.iterate(env.action_space, acts))
        for k in range(n):
            if resetting[k]:
                check[k].begin(row(observation, k), memory[k])
                continue
            own, m = row(observation, k), memory[k]
            if over[k] and mode == AutoresetMode.SAME_STEP:
                own, m = parts(env, row(infos["final_obs"], k))
                finals += 1
            check[k].step(per_env[k], reward[k], own, m, bool(over[k]))
            if over[k] and mode == AutoresetMode.SAME_STEP:
                check[k].begin(row(observation, k), memory[k])
        resetting = over & ~resetting if mode == AutoresetMode.NEXT_STEP else np.zeros(n, bool)
        if mode == AutoresetMode.DISABLED and over.any():
            before = memory
            shown, _ = env.reset(options={"reset_mask": over})
            observation, memory = parts(env, shown)
            assert np.array_equal(memory[~over], before[~over])
            for k in np.flatnonzero(over):
                check[k].begin(row(observation, k), memory[k])
    assert all(one.checked >= 2 for one in check)
    assert finals or mode != AutoresetMode.SAME_STEP


class Keeps(nn.Module):
    """Shows what it read at the step before."""

    output_size = 2

    def initial_state(self, lanes: int) -> torch.Tensor:
        return torch.zeros(lanes, 1, 2)

    def forward(self, x: Any, state: Any, is_first: Any) -> Any:
        state = state.masked_fill(is_first[:, None, None], 0)
        return torch.cat([state, x[:, :-1]], 1), x[:, -1:]


def test_a_core_that_keeps_what_it_read_keeps_it() -> None:
    fields = agent_task(FLAT, ACTIONS["one"], "env").fields
    model = MemUP(TaskSpec(fields, {"observation": 0}, ("observation",)), memory=lambda size: Keeps())
    env = MemoryObservation(Walk(), model)
    first, _ = env.reset(seed=1)
    second, *_ = env.step(2)
    assert np.array_equal(second[2:], first[:2].astype(np.float32))


def test_nobody_can_change_the_memory_through_an_observation() -> None:
    env, other = (MemoryObservation(Walk("dict"), memory_of(Walk("dict"))) for _ in range(2))
    for one in (env, other):
        observation, _ = one.reset(seed=1)
        one.unwrapped.left = 3  # type: ignore[attr-defined]
        if one is env:
            observation["memory"][:] = 100
    assert np.array_equal(env.step(2)[0]["memory"], other.step(2)[0]["memory"])


@pytest.mark.parametrize("kind", ["flat", "dict", "number"])
def test_the_checker_of_gymnasium_finds_nothing(kind: str) -> None:
    env = MemoryObservation(Walk(kind), memory_of(Walk(kind)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
        check_env(env, skip_render_check=True)


def test_the_checker_of_stable_baselines3_finds_nothing() -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(MemoryObservation(TMazeEnv(length=5), memory_of(TMazeEnv())))


def test_a_wrapped_environment_is_pickled_in_the_middle_of_an_episode() -> None:
    env = MemoryObservation(TMazeEnv(length=9), memory_of(TMazeEnv()))
    env.reset(seed=1)
    env.step(0)
    copied = pickle.loads(pickle.dumps(env))
    for _ in range(3):
        assert np.array_equal(env.step(np.int64(1))[0], copied.step(np.int64(1))[0])


def test_a_model_goes_to_the_processes_of_environments() -> None:
    model = memory_of(TMazeEnv())
    make = partial(MemoryObservation, TMazeEnv(length=5), model)
    env = AsyncVectorEnv([make] * 2)
    one = make()
    try:
        observation, _ = env.reset(seed=[7, 8])
        assert np.array_equal(observation[0], one.reset(seed=7)[0])
        assert np.array_equal(env.step(np.array([1, 0]))[0][0], one.step(1)[0])
    finally:
        env.close()


def test_a_native_vector_environment_agrees_with_single_ones() -> None:
    model = memory_of(TMazeEnv())
    env = VectorMemoryObservation(TMazeVectorEnv(2, length=4, mode="L"), model)
    one = MemoryObservation(TMazeEnv(length=4, mode="L"), model)
    shown, infos = env.reset(seed=3)
    alone, _ = one.reset(options={"episode_seed": infos["episode_seed"][1]})
    for action in (0, 1, 0):
        np.testing.assert_allclose(shown[1], alone, atol=1e-6)
        shown, *_ = env.step(np.array([1, action]))
        alone, *_ = one.step(action)
