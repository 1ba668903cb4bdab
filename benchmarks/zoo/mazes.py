"""Corridors with a hint at the beginning and a junction at the end: rewards of any scale, lengths, coin tosses."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.zoo.problem import Made, MadeDataModule, Maker, Problem, at_the_end, classes, signs, tokens
from memup_lightning.typing import Arrays, IntArray


def maze(
    rng: np.random.Generator,
    number: int,
    shortest: int = 100,
    longest: int = 110,
    scale: float = 1.0,
    coins: int = 0,
) -> tuple[Arrays, IntArray]:
    """Make episodes of a corridor: observation ``[hint, mark, noise]``, action, reward.

    The turn of the hint pays 4, the other one -3. The mark is 1 at the junction, i / (coins + 1) at the i-th step that
    pays 4 or -3 by a coin toss.

    Args:
        rng: random numbers.
        number: of episodes.
        shortest, longest: steps of an episode, drawn evenly on a logarithmic scale.
        scale: of the rewards.
        coins: steps that pay by a coin toss.
    """
    lengths = np.floor(shortest * ((longest + 1) / shortest) ** rng.random(number)).astype(np.int64)
    time = np.arange(longest)
    last = time == lengths[:, None] - 1
    hint = rng.integers(2, size=number)
    action = rng.integers(2, size=(number, longest))
    observation = np.zeros((number, longest, 3), np.float32)
    observation[:, 0, 0] = 2 * hint - 1
    observation[..., 1] = last
    observation[..., 2] = signs(rng, number, longest)
    good = action == hint[:, None]
    paid = last.copy()
    if coins:
        order = rng.random((number, shortest - 6)).argsort(1)[:, :coins]
        places = 5 + np.sort(order, axis=1)
        rows = np.arange(number)[:, None]
        observation[rows, places, 1] = np.arange(1, coins + 1) / (coins + 1)
        good[rows, places] = rng.integers(2, size=places.shape)
        paid[rows, places] = True
    reward = (scale * np.where(paid, np.where(good, 4.0, -3.0), 0.0)).astype(np.float32)
    return {
        "observation": observation,
        "action": action,
        "reward": reward,
        "outcome": reward,
        "eval_mask": last,
    }, lengths


def corridor(name: str, about: str, make: Maker, scale: float = 1.0, num_train: int = 4096) -> Problem:
    """A problem of :func:`maze`, or of another scale of rewards."""
    data = partial(MadeDataModule, make, {"action": tokens(2)}, num_train)
    return Problem(name, about, data, local=12.25 * scale**2, bits=1.0)


def byte_maze(rng: np.random.Generator, number: int, length: int = 100) -> Made:
    """Make episodes of bytes: the first is 0 or 255 at the first step, else 128; the second 255 at the last, else 0; the
    others are random. The outcome, a class at the last step, is whether the first was 255."""
    observation = rng.integers(256, size=(number, length, 8), dtype=np.uint8)
    hint = rng.integers(2, size=number)
    observation[..., 0] = 128
    observation[:, 0, 0] = 255 * hint
    observation[..., 1] = 0
    observation[:, -1, 1] = 255
    return at_the_end(observation, hint)


def corridors() -> list[Problem]:
    """Problems of this module."""
    short = partial(maze, shortest=18, longest=20)
    mixed = partial(maze, shortest=10, longest=5000)
    coins = partial(maze, shortest=1000, longest=1000, coins=30)
    return [
        corridor("rewards of 1e-3", "a maze of 100 steps, rewards of 0.001", partial(maze, scale=1e-3), scale=1e-3),
        corridor("rewards of 1e4", "a maze of 100 steps, rewards of 10,000", partial(maze, scale=1e4), scale=1e4),
        corridor("100 episodes", "a maze of 100 steps, few episodes", maze, num_train=100),
        corridor("100,000 episodes", "a maze of 20 steps, many episodes", short, num_train=100_000),
        corridor("10 to 5,000 steps", "mazes of all lengths in one set", mixed, num_train=1024),
        corridor("30 marked coins", "a maze of 1,000 steps, 30 random rewards", coins, num_train=512),
        classes("bytes", "unscaled uint8, six of eight are noise", byte_maze, 2),
    ]
