"""Whole episodes from Gymnasium environments: no step that the environment did not take."""

from __future__ import annotations

import tracemalloc
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from memup_lightning import progress
from memup_lightning.datamodules import GymnasiumDataModule
from memup_lightning.datamodules.recorded.environments import rewards
from memup_lightning.envs import TMazeVectorEnv
from memup_lightning.envs.policies import InformedPolicy, random_policy
from memup_lightning.rl.collectors.episodes import collect
from memup_lightning.rl.vector_envs import make_vector_env
from tests.rl.counting_env import MODES, Counting, as_steps, collect_all, counting, played_alone, step_count, warned


class Failing(Counting):
    """Says of its second episode that it is of no use."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:4], {"discarded": self.episode == 1, "episode": self.episode}


class Repeats(InformedPolicy):
    """Acts by what the infos say."""

    def __call__(self, observations: Any, action_space: Any, infos: Any) -> Any:
        return np.asarray(infos.get("episode", np.zeros(1))) % 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lengths", [(3, 1, 5), (1,), (1, 1, 2)])
def test_collected_episodes_are_those_of_single_environments(mode: AutoresetMode, lengths: tuple[int, ...]) -> None:
    env = counting(3, lengths, autoreset_mode=mode)
    arrays, found, _ = collect_all(env, step_count, 7, seed=0)
    wanted = [e for number, quota in enumerate((3, 2, 2)) for e in played_alone(number, quota, lengths)]
    assert sorted(as_steps(arrays, found)) == wanted


@pytest.mark.parametrize("mode", MODES)
def test_terminated_and_truncated_episodes_are_distinguished(mode: AutoresetMode) -> None:
    arrays, lengths, terminated = collect_all(counting(2, autoreset_mode=mode), step_count, 8, seed=0)
    number = arrays["observation"][np.cumsum(lengths) - 1, 0]
    assert np.array_equal(terminated, number % 2 == 0)


@pytest.mark.parametrize("mode", MODES[:2])
def test_a_vectorised_maze_gives_the_same_episodes_under_both_modes(mode: AutoresetMode) -> None:
    env = TMazeVectorEnv(4, length=10, autoreset_mode=mode)
    arrays, lengths, terminated = collect_all(env, lambda seen, space: (seen[:, 2] > 0).astype(np.int64), 11, seed=3)
    other = TMazeVectorEnv(4, length=10, autoreset_mode=AutoresetMode.NEXT_STEP)
    wanted, _, _ = collect_all(other, lambda seen, space: (seen[:, 2] > 0).astype(np.int64), 11, seed=3)
    assert terminated.all()
    assert len(lengths) == 11
    for name, array in arrays.items():
        assert np.array_equal(array, wanted[name])
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    assert np.array_equal(np.flatnonzero(arrays["observation"][:, 0]), firsts)
    assert np.array_equal(np.flatnonzero(arrays["reward"]), np.cumsum(lengths) - 1)


def test_every_environment_contributes_as_many_episodes_so_that_short_ones_are_not_favoured() -> None:
    makers = [lambda n=n: Counting((1,) if n % 2 else (50,), n) for n in range(4)]
    _, lengths, _ = collect_all(SyncVectorEnv(makers), step_count, 8, seed=0)
    assert sorted(lengths) == [1] * 4 + [50] * 4


def test_mean_length_of_a_random_walk_is_not_biased() -> None:
    class Geometric(Counting):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.t += 1
            return self.see(), 0.0, bool(self.np_random.random() < 0.05), False, {}

    env = SyncVectorEnv([Geometric] * 100)
    _, lengths, _ = collect_all(env, random_policy, 200, seed=0)
    assert abs(lengths.mean() - 20) < 4 * 20 / np.sqrt(200)


def test_fewer_episodes_than_environments_are_collected_too() -> None:
    _, lengths, _ = collect_all(counting(5), step_count, 2, seed=0)
    assert len(lengths) == 2


def test_the_seed_says_what_is_played() -> None:
    def played(seed: int) -> npt.NDArray[Any]:
        env = make_vector_env("CartPole-v1", 3)
        return collect_all(env, random_policy, 4, seed)[0]["observation"]

    assert np.array_equal(played(1), played(1))
    assert not np.array_equal(played(1)[:5], played(2)[:5])


def test_subprocess_environments_are_collected_alike() -> None:
    env = AsyncVectorEnv([lambda n=n: Counting((3, 1, 5), n) for n in range(2)])
    try:
        arrays, lengths, _ = collect_all(env, step_count, 5, seed=0)
    finally:
        env.close()
    wanted, _, _ = collect_all(counting(2), step_count, 5, seed=0)
    assert as_steps(arrays, lengths) == as_steps(wanted, lengths)


class Frames(Counting):
    """Shows a plain image."""

    observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)

    def see(self) -> Any:
        return np.full((64, 64, 3), self.t, np.uint8)


gymnasium.register("tests/Counting-v0", Counting)
gymnasium.register("tests/Frames-v0", lambda: Frames((12, 20)))


def test_an_environment_can_be_given_a_time_limit_by_its_arguments() -> None:
    data = GymnasiumDataModule(
        "tests/Counting-v0", {"lengths": (50,), "max_episode_steps": 6}, num_train=2, num_envs=1, max_steps=6
    )
    assert data.episodes("train").lengths.tolist() == [6, 6]


def test_collecting_takes_little_more_room_than_the_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewards, "_BATCH_BYTES", 1 << 20)
    data = GymnasiumDataModule("tests/Frames-v0", num_train=120, num_envs=4)
    _ = data.task
    tracemalloc.start()
    try:
        source = data.episodes("train")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = source.total_steps * sum(field.step_bytes for field in source.fields.values())
    assert kept > 20e6
    assert peak < 1.3 * kept + 6e6  # and the blocks of the steps in play


def test_a_collection_that_takes_long_shows_its_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collect_all(counting(2), step_count, 20, seed=0)
    assert "collecting" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    collect_all(counting(2), step_count, 100, seed=0)
    last = capsys.readouterr().err.split("\r")[-1]
    assert "100/100" in last
    assert "steps/s" in last


@pytest.mark.parametrize("mode", MODES)
def test_an_episode_that_its_environment_discards_is_replaced(
    mode: AutoresetMode, recwarn: pytest.WarningsRecorder
) -> None:
    env = SyncVectorEnv([lambda: Failing((4,))], autoreset_mode=mode)
    arrays, lengths, _ = collect_all(env, step_count, 3, seed=0)
    assert lengths.tolist() == [4, 4, 4]
    assert arrays["observation"][::4, 0].tolist() == [0, 2, 3]
    assert "discarded 1 episode, and" in warned(recwarn)


def test_an_informed_policy_gets_the_infos() -> None:
    arrays, _, _ = collect_all(SyncVectorEnv([lambda: Failing((4,))]), Repeats(), 3, seed=0)
    assert arrays["action"].reshape(3, 4)[:, 1:].tolist() == [[0] * 3, [2] * 3, [0] * 3]


class StepNumbers(Counting):
    """Reports the number of the step in its infos."""

    def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
        return super().reset(**given)[0], {"truth": self.t}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:4], {"truth": self.t}


def test_infos_that_are_asked_for_are_kept_with_the_observation_they_came_with() -> None:
    env = SyncVectorEnv([lambda n=n: StepNumbers(number=n) for n in range(2)])
    for episode in collect(env, step_count, 6, seed=0, infos_kept=("truth",)):
        np.testing.assert_array_equal(episode.arrays["info.truth"], episode.arrays["observation"][:, 1])
