"""The passive T-Maze: what is shown, what a move does, what is paid."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from memup_lightning.envs import PassiveTMazeEnv, PassiveTMazeExpert, PassiveTMazeVectorEnv
from memup_lightning.exceptions import MemUPError

RIGHT, UP, LEFT, DOWN = range(4)


def play(length: int, actions: list[int], seed: int = 0) -> tuple[list[list[float]], list[float], list[bool], int]:
    """Observations, rewards, and how the episode ended; and the turn that the clue asks for."""
    env = PassiveTMazeEnv(length)
    observation, info = env.reset(seed=seed)
    seen, ends = [observation.tolist()], [False, False]
    rewards: list[float] = []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(np.int64(action))
        seen, rewards, ends = [*seen, observation.tolist()], [*rewards, reward], [terminated, truncated]
    return seen, rewards, ends, UP if info["clue"] > 0 else DOWN


@pytest.mark.parametrize("seed", range(6))
def test_the_turn_of_the_clue_is_paid_and_the_other_is_not(seed: int) -> None:
    *_, turn = play(9, [], seed)
    seen, rewards, ends, _ = play(9, [RIGHT] * 7 + [turn], seed)
    assert rewards == [0] * 7 + [1]
    assert ends == [True, False]
    assert [x[1] for x in seen] == [1 if turn == UP else -1] + [0] * 8, "the clue is shown once"
    assert [x[2] for x in seen] == [0] * 7 + [1, 0], "the flag marks the junction"
    assert [x[0] for x in seen] == [0] * 8 + [1 if turn == UP else -1]
    _, rewards, ends, _ = play(9, [RIGHT] * 7 + [UP + DOWN - turn], seed)
    assert rewards[-1] == 0
    assert ends == [True, False]


def test_both_clues_and_all_noise_occur() -> None:
    shown = np.concatenate([play(6, [RIGHT] * 4, seed)[0] for seed in range(30)])
    assert set(shown[:, 1]) == set(shown[:, 3]) == {-1, 0, 1}


@pytest.mark.parametrize("wrong", [UP, LEFT, DOWN])
def test_one_step_may_be_lost_and_no_second_one(wrong: int) -> None:
    *_, turn = play(5, [])
    _, rewards, ends, _ = play(5, [wrong, RIGHT, RIGHT, RIGHT, turn])
    assert (rewards[-1], ends) == (1, [True, False])
    _, rewards, ends, _ = play(5, [wrong, wrong, RIGHT, RIGHT, RIGHT])
    assert (rewards, ends) == ([0] * 5, [False, True])


def test_the_expert_always_gets_there_and_many_mazes_go_on_after_an_end() -> None:
    env, expert = gymnasium.make_vec("memup/PassiveTMaze-v0", num_envs=7, length=11), PassiveTMazeExpert()
    assert isinstance(env, PassiveTMazeVectorEnv)
    observations, infos = env.reset(seed=3)
    returns = np.zeros(7)
    for step in range(33):  # the eleventh call after an end begins the next episode, whatever the action
        observations, rewards, terminated, truncated, infos = env.step(expert(observations, env.action_space, infos))
        assert not truncated.any()
        assert terminated.all() == (step % 11 == 9)
        returns += rewards
        if step % 11 == 10:
            assert (np.abs(observations[:, 1]) == 1).all()
            assert (rewards == 0).all()
    assert returns.tolist() == [3] * 7


def test_mistakes_are_refused() -> None:
    with pytest.raises(MemUPError, match="length=2 is too short"):
        PassiveTMazeEnv(2)
    with pytest.raises(MemUPError, match="num_envs=0"):
        PassiveTMazeVectorEnv(0)
    with pytest.raises(MemUPError, match=r"call reset\(\)"):
        PassiveTMazeEnv(5).step(np.int64(0))
    with pytest.raises(MemUPError, match=r"call reset\(\)"):
        PassiveTMazeVectorEnv(1).step(np.zeros(1, np.int64))
    env = PassiveTMazeVectorEnv(2)
    env.reset(seed=0)
    with pytest.raises(MemUPError, match="from 0 to 3"):
        env.step(np.array([0, 4]))
