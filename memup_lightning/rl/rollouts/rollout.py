"""Rollouts and results of episodes: what a :class:`~memup_lightning.rl.collectors.rollouts.RolloutCollector` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from memup_lightning.models.memory import State


@dataclass
class Rollout:
    """T steps of N environments; episodes begin and end anywhere in it.

    Attributes:
        record: what the actor recorded at every step, each ``[T, N, ...]``.
        is_first: where an episode begins, bool ``[T, N]``.
        valid: False where the environment ignored the action and only began its next episode, bool ``[T, N]``.
        reward: ``[T, N]``.
        terminated: where an episode ended by itself, bool ``[T, N]``.
        truncated: where one was cut off, bool ``[T, N]``.
        next_value: the actor's value of the next observation of the same episode, ``[T, N]``; ignored where terminated.
        state: the actor's state before the first step.
    """

    record: dict[str, Tensor]
    is_first: Tensor
    valid: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    next_value: Tensor
    state: State

    @property
    def num_valid_steps(self) -> int:
        """Steps that an environment took."""
        return int(self.valid.sum())


class EpisodeResult(NamedTuple):
    """Result of an episode that has ended.

    Attributes:
        env: number of its environment.
        episode_return: sum of its rewards.
        length: number of its steps.
    """

    env: int
    episode_return: float
    length: int
