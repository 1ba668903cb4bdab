"""An environment of known episodes, and what was collected from it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from memup_lightning.data.episodes import ArrayEpisodes
from memup_lightning.envs.policies import Policy
from memup_lightning.rl.collectors.episodes import collect, concatenate_episodes

Env = gymnasium.Env[Any, Any]


class Counting(Env):
    """Shows the episode's number and step, and pays their sum. Its lengths come in turn; every second is a cut."""

    observation_space = spaces.Box(-1, 10_000, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, lengths: tuple[int, ...] = (3, 1, 5), number: int = 0) -> None:
        self.lengths = lengths
        self.episode = 1000 * number - 1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 1
        self.t = 0
        return self.see(), {}

    def see(self) -> npt.NDArray[np.float32]:
        return np.array([self.episode, self.t], np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(self.episode + self.t + 0.25 * action)
        self.t += 1
        over = self.t == self.lengths[self.episode % 1000 % len(self.lengths)]
        cut = self.episode % 2 == 1
        return self.see(), reward, over and not cut, over and cut, {}


def counting(number_of_envs: int, lengths: tuple[int, ...] = (3, 1, 5), **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    makers = [lambda n=n: Counting(lengths, n) for n in range(number_of_envs)]
    return SyncVectorEnv(makers, **kwargs)


def warned(recwarn: pytest.WarningsRecorder) -> str:
    return "\n".join(str(x.message) for x in recwarn)


def step_count(observations: Any, action_space: Any) -> Any:
    """An action that follows from what is seen."""
    return (observations[:, 0] + observations[:, 1]).astype(np.int64) % 3


def played_alone(
    number: int, episodes: int, lengths: tuple[int, ...] = (3, 1, 5)
) -> list[list[tuple[Any, int, float]]]:
    """The same episodes, stepped by hand in a single environment."""
    env = Counting(lengths, number)
    out = []
    for _ in range(episodes):
        seen, _ = env.reset()
        steps, over = [], False
        while not over:
            action = int(seen.sum()) % 3
            following, reward, terminated, truncated, _ = env.step(action)
            steps.append((seen.tolist(), action, reward))
            seen, over = following, terminated or truncated
        out.append(steps)
    return out


def as_steps(arrays: dict[str, Any], lengths: Any) -> list[list[tuple[Any, int, float]]]:
    source = ArrayEpisodes(arrays, lengths)
    read = [source.read(e, 0, int(n)) for e, n in enumerate(lengths)]
    return [list(zip(r["observation"].tolist(), r["action"].tolist(), r["reward"].tolist(), strict=True)) for r in read]


def collect_all(env: VectorEnv[Any, Any, Any], policy: Policy, episodes: int, seed: int, max_steps: int = 1000) -> Any:
    """The fields of all episodes end to end, the episodes' lengths, whether each terminated."""
    return concatenate_episodes(list(collect(env, policy, episodes, seed, max_steps)))


MODES = list(AutoresetMode)
