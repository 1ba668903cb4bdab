"""Many mazes at once agree with one maze, under every autoreset mode."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.envs import TMazeEnv, TMazeRules, TMazeVectorEnv
from memup_lightning.exceptions import MemUPError
from tests.envs.mazes import rules_of_any_kind, vector_env


@settings(max_examples=25, deadline=None)
@given(rules_of_any_kind(), st.integers(1, 4), st.sampled_from(["NextStep", "SameStep"]), st.integers(0, 1000))
def test_many_mazes_agree_with_one_maze_step_by_step(
    rules: TMazeRules, num_envs: int, autoreset: str, seed: int
) -> None:
    envs = vector_env(rules, num_envs, autoreset_mode=autoreset)
    observations, infos = envs.reset(seed=seed)
    singles = [TMazeEnv(length=rules.length, mode=rules.mode, distractors=rules.distractors) for _ in range(num_envs)]
    for i, single in enumerate(singles):
        observation, _ = single.reset(options={"episode_seed": int(infos["episode_seed"][i])})
        assert np.array_equal(observations[i], observation)
    over = np.zeros(num_envs, bool)
    random = np.random.default_rng(seed)
    for _ in range(2 * rules.length + 25):
        actions = random.integers(2, size=num_envs)
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        assert not truncations.any()
        assert observations.dtype == np.float32
        for i, single in enumerate(singles):
            begin = {"episode_seed": int(infos["episode_seed"][i])}
            if over[i] and autoreset == "NextStep":
                observation, info = single.reset(options=begin)
                reward, terminated = 0.0, False
            else:
                observation, reward, terminated, _, info = single.step(actions[i])
                if terminated and autoreset == "SameStep":
                    assert np.array_equal(infos["final_obs"][i], observation)
                    assert infos["_final_obs"][i]
                    assert infos["final_info"]["episode_seed"][i] == info["episode_seed"]
                    observation, info = single.reset(options=begin)
            assert np.array_equal(observations[i], observation)
            assert (rewards[i], terminations[i], infos["hint"][i]) == (reward, terminated, info["hint"])
        over = terminations


def test_next_step_autoreset_ignores_the_action_of_the_reset_call() -> None:
    def play(action: int) -> tuple[Any, ...]:
        envs = TMazeVectorEnv(3, length=2, mode="L")
        _, first = envs.reset(seed=0)
        envs.step(np.zeros(3, np.int64))
        assert envs.step(np.zeros(3, np.int64))[2].all()
        observations, rewards, terminations, _, infos = envs.step(np.full(3, action))
        assert not terminations.any()
        assert not rewards.any()
        assert np.array_equal(observations[:, 0], infos["hint"])
        assert (infos["episode_seed"] != first["episode_seed"]).all()
        return observations.tolist(), envs.step(np.zeros(3, np.int64))[0].tolist()

    assert play(0) == play(1)


def test_same_step_autoreset_returns_the_next_episodes_first_observation() -> None:
    envs = TMazeVectorEnv(3, length=2, mode="LN", autoreset_mode=AutoresetMode.SAME_STEP)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    _, first = envs.reset(seed=0)
    assert "final_obs" not in envs.step(np.zeros(3, np.int64))[4]
    observations, rewards, terminations, _, infos = envs.step(np.zeros(3, np.int64))
    assert terminations.all()
    assert np.array_equal(rewards, np.where(first["hint"] < 0, 4.0, -3.0))
    assert np.array_equal(observations[:, 0], infos["hint"])
    assert not infos["final_obs"][:, :2].any()
    assert np.array_equal(infos["final_info"]["hint"], first["hint"])


def test_what_a_step_returned_is_not_changed_by_later_steps() -> None:
    envs = TMazeVectorEnv(4, length=3, mode="LN")
    kept = [envs.reset(seed=0)[1]["hint"]]
    copies = [kept[0].copy()]
    for _ in range(30):
        observations, _, _, _, infos = envs.step(np.zeros(4, np.int64))
        kept += [observations, infos["hint"], infos["episode_seed"]]
        copies += [observations.copy(), infos["hint"].copy(), infos["episode_seed"].copy()]
    assert all(map(np.array_equal, kept, copies))


def episode_seeds(envs: TMazeVectorEnv, steps: int = 12) -> list[list[int]]:
    """The episodes that each maze plays from here on, in order."""
    zeros = np.zeros(envs.num_envs, np.int64)
    played = np.stack([envs.step(zeros)[4]["episode_seed"] for _ in range(steps)], 1)
    return [list(dict.fromkeys(row.tolist())) for row in played]


def test_an_integer_seeds_all_mazes_apart_and_repeatably() -> None:
    envs = TMazeVectorEnv(50, length=2)
    _, infos = envs.reset(seed=7)
    assert len(set(infos["episode_seed"])) == 50
    played = episode_seeds(envs)
    envs.reset(seed=7)
    assert episode_seeds(envs) == played
    assert not set(infos["episode_seed"]) & set(envs.reset(seed=8)[1]["episode_seed"])


def test_a_list_of_seeds_decides_each_maze_at_any_place() -> None:
    envs = TMazeVectorEnv(3, length=2)
    envs.reset(seed=[4, 5, 6])
    played = episode_seeds(envs, 60)
    envs.reset(seed=[6, 4, 5])
    assert episode_seeds(envs, 60) == [played[2], played[0], played[1]]
    with pytest.raises(MemUPError, match="got 2 seeds for 3 mazes"):
        envs.reset(seed=[1, 2])


def test_a_reset_without_seed_begins_the_next_episodes() -> None:
    envs = TMazeVectorEnv(3, length=2, mode="L")
    envs.reset(seed=0)
    played = episode_seeds(envs)
    envs.reset(seed=0)
    assert envs.reset()[1]["episode_seed"].tolist() == [row[1] for row in played]


def test_an_unseeded_maze_is_random() -> None:
    first, second = (TMazeVectorEnv(3).reset()[1]["episode_seed"] for _ in range(2))
    assert not set(first) & set(second)


def test_make_vec_makes_the_native_environment_with_the_right_spaces() -> None:
    envs = gymnasium.make_vec("memup/TMaze-v0", num_envs=5, length=20, mode="L", distractors=3)
    assert isinstance(envs.unwrapped, TMazeVectorEnv)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert envs.observation_space.shape == (5, 3)
    assert envs.step(envs.action_space.sample())[0] in envs.observation_space


def test_mazes_do_not_share_the_generator_of_their_action_space() -> None:
    first, second = TMazeEnv(), TMazeEnv()
    first.action_space.seed(0)
    expected = [first.action_space.sample() for _ in range(40)]
    first.action_space.seed(0)
    second.action_space.seed(1)
    assert [first.action_space.sample() for _ in range(40)] == expected


def test_gymnasiums_episode_statistics_read_the_vector_environment() -> None:
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(TMazeVectorEnv(4, length=6, mode="L"))
    _, infos = envs.reset(seed=0)
    turns = (infos["hint"] > 0).astype(np.int64)
    for _ in range(6):
        _, _, terminations, _, infos = envs.step(turns)
    assert terminations.all()
    assert infos["episode"]["r"].tolist() == [4.0] * 4
    assert infos["episode"]["l"].tolist() == [6] * 4


@pytest.mark.parametrize("arguments", [{"num_envs": 0}, {"autoreset_mode": "Disabled"}])
def test_impossible_vector_environments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(MemUPError, match=next(iter(arguments))):
        TMazeVectorEnv(**arguments)


def test_step_before_reset_is_refused_by_many_mazes() -> None:
    with pytest.raises(MemUPError, match=r"call reset\(\)"):
        TMazeVectorEnv(2).step(np.zeros(2, np.int64))
