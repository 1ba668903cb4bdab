"""Outcomes of reinforcement learning from rewards: the reward itself, an n-step sum, a discounted return."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import IntArray

RewardTarget = Literal["reward", "n_step", "return"]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

NEGLIGIBLE = 0.01
"""A discounted return counts as known where rewards after a truncation have less than this weight."""


def reward_targets(
    target: RewardTarget, rewards: FloatArray, lengths: IntArray, terminated: BoolArray, n_steps: int, gamma: float
) -> tuple[FloatArray, BoolArray]:
    """Compute the outcome of every step, and whether it is known.

    An episode that *terminated* has no reward after its end; the rewards after the end of one that was *truncated* are
    unknown, so sums and returns that reach past its end are not known.

    Args:
        target: ``reward`` r_k; ``n_step`` the discounted sum r_k + ... + gamma^(n-1) r_{k+n-1}; ``return`` the discounted
            sum to the end of the episode.
        rewards: of all episodes end to end, ``[sum(lengths)]``.
        lengths: steps of each episode.
        terminated: whether each episode ended by itself, ``[episodes]``.
        n_steps: n.
        gamma: discount of later rewards, 0 to 1.

    Returns:
        Outcomes and flags, ``[sum(lengths)]`` each.

    Raises:
        MemUPError: ``n_steps`` below 1, ``gamma`` outside [0, 1], a reward that is not finite.
    """
    if n_steps < 1 or not 0 <= gamma <= 1:
        raise MemUPError(f"n_steps={n_steps}, gamma={gamma}: need n_steps >= 1 and 0 <= gamma <= 1")
    ends = np.repeat(np.cumsum(lengths), lengths)
    left = ends - np.arange(len(rewards))  # steps to the end of the episode, this one counted
    if not np.isfinite(rewards).all():
        flat = int(np.flatnonzero(~np.isfinite(rewards))[0])
        episode = int(np.searchsorted(np.cumsum(lengths), flat, side="right"))
        step = flat - int(lengths[:episode].sum())
        raise MemUPError(
            f"the reward of episode {episode} at step {step} is {rewards[flat]}, so its outcome is not a number; "
            "fix the environment or mask it with a wrapper"
        )
    if target == "reward":
        return rewards, np.ones(len(rewards), np.bool_)
    open_end = np.repeat(~terminated, lengths)
    if target == "n_step":
        total = np.zeros(len(rewards))
        for n in range(min(n_steps, int(lengths.max()))):
            inside = left > n
            total[inside] += gamma**n * rewards[np.flatnonzero(inside) + n]
        return total.astype(np.float32), ~(open_end & (left < n_steps))
    if target != "return":
        raise MemUPError(f"outcome={target!r} is not known; choose 'reward', 'n_step', 'return' or 'action'")
    total = _discounted(rewards, lengths, gamma)
    return total.astype(np.float32), ~(open_end & (gamma ** left.astype(float) > NEGLIGIBLE))


def _discounted(rewards: FloatArray, lengths: IntArray, gamma: float) -> npt.NDArray[np.float64]:
    """Return the discounted sums to the end of each episode: one step from the end of all episodes at a time."""
    total = rewards.astype(np.float64)
    ends = np.cumsum(lengths)
    order = np.argsort(-lengths, kind="stable")
    ends, sizes = ends[order], lengths[order]
    for back in range(2, int(sizes[0]) + 1):
        at = ends[: np.searchsorted(-sizes, -back, side="right")] - back
        total[at] += gamma * total[at + 1]
    return total
