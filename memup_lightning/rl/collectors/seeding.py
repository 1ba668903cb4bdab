"""Whether the seed of a reset decides the episodes of an environment, all that they show."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from pytorch_lightning.utilities.seed import isolate_rng

from memup_lightning.envs.policies import InformedPolicy, Policy
from memup_lightning.rl.collectors.env_driver import EnvDriver
from memup_lightning.rl.spaces import space_leaves
from memup_lightning.typing import Arrays

_EPISODES, _STEPS = 8, 32  # what an environment draws may be shown by few steps, and be alike by chance in an episode
_PAIRS, _SHORT = 32, 8  # pairs of episodes, and their steps, of two environments that are compared
_ENTRIES = 100  # of a field that are looked at
_LOG_CHANCE = -14.0  # about one in a million
_SECONDS = 0.25  # an environment that needs more to begin its first episode is not asked

Choose = Callable[[int, Any, Any, Any], Any]


def repeats_episodes(make: Callable[[], VectorEnv[Any, Any, Any]], policy: Policy, seed: int) -> bool | None:
    """Return whether two environments show and pay the same after resets with the same seeds and the same actions.

    Generators of Python, NumPy and torch are afterwards as they were, and a policy too.

    Args:
        make: makes an environment, which is closed.
        policy: chooses the actions.
        seed: of the first of a few episodes.

    Returns:
        None where it was not asked: its first episode begins too late, or it raises.
    """

    def choose(number: int, *given: Any) -> Any:
        taken.append(own(*(given if isinstance(own, InformedPolicy) else given[:2])))
        return taken[-1]

    def repeat(number: int, *given: Any) -> Any:
        return taken[number]

    with suppress(Exception), isolate_rng(include_cuda=False):  # whatever raises has collected its episodes already
        own, taken = copy.deepcopy(policy), list[Any]()
        shown = _play(make, choose, seed, time.perf_counter() + _SECONDS)
        if len(shown) > 1:  # else it needs so long to begin
            return _alike(shown, _play(make, repeat, seed, steps=len(shown)))
    return None


def repeated_noise(make: Callable[[], VectorEnv[Any, Any, Any]], seed: int) -> list[str]:
    """Return what differs from episode to episode, and is the same in two environments that were reset with other seeds.

    It is drawn from a generator that each environment makes for itself, with one seed, and ``reset`` does not seed. What
    follows from the actions is not meant: each episode has the same ones.

    Args:
        make: makes an environment, which is closed.
        seed: of the first of some short episodes; all have seeds of their own.

    Returns:
        Names of the entries of the observation, and of the reward; none where it is not known for certain.
    """
    until = time.perf_counter() + _SECONDS
    with suppress(Exception), isolate_rng(include_cuda=False), closing(make()) as one, closing(make()) as other:
        drivers, space = (EnvDriver(one), EnvDriver(other)), one.single_observation_space
        one.action_space.seed(seed)
        actions = [one.action_space.sample() for _ in range(_SHORT)]
        episodes: list[list[list[Arrays]]] = []
        over = np.zeros(2, np.bool_)
        while len(episodes) < _PAIRS and time.perf_counter() < until and over[0] == over[1]:  # they draw in step
            seeds = (seed + 2 * len(episodes) + number for number in range(2))
            observed = [driver.reset(own)[0] for driver, own in zip(drivers, seeds, strict=True)]
            shown: list[list[Arrays]] = [[], []]
            for action in actions:
                before = [space_leaves("observation", space, observation) for observation in observed]
                steps = [driver.step(action) for driver in drivers]
                for kept, leaves, step in zip(shown, before, steps, strict=True):
                    kept.append({name: np.array(x) for name, x in (leaves | {"reward": step.reward}).items()})
                observed = [step.observation for step in steps]
                over = np.array([bool((step.terminated | step.truncated)[0]) for step in steps])
                if over.any():
                    break
            episodes.append(shown)
        return [found for name in episodes[0][0][0] for found in _repeated(name, episodes)]
    return []


def _repeated(name: str, episodes: Sequence[Sequence[Sequence[Arrays]]]) -> Iterator[str]:
    """Yield the entries of a field that differ between the episodes of an environment, and not between environments.

    Args:
        name: of the field.
        episodes: of each pair of episodes the steps in both environments.
    """
    pairs = [[np.stack([step[name].ravel() for step in steps]) for steps in pair] for pair in episodes]
    equal = np.logical_and.reduce([((x == y) | ((x != x) & (y != y))).all(0) for x, y in pairs])
    length = min(len(x) for x, _ in pairs)
    differs = np.logical_or.reduce([(x[:length] != pairs[0][0][:length]).any(0) for x, _ in pairs])
    for entry in np.flatnonzero(equal & differs)[:_ENTRIES].tolist():
        _, counts = np.unique([x[:, entry].tobytes() for x, _ in pairs], return_counts=True)
        if len(pairs) * np.log(((counts / len(pairs)) ** 2).sum()) < _LOG_CHANCE:  # that all are equal by chance
            yield name if pairs[0][0].shape[1] == 1 else f"{name}[{entry}]"


def _play(
    make: Callable[[], VectorEnv[Any, Any, Any]],
    choose: Choose,
    seed: int,
    until: float = np.inf,
    steps: int = _EPISODES * _STEPS,
) -> list[Arrays]:
    """Return what an environment shows and pays at its first steps, each after its action.

    Args:
        make: makes it.
        choose: returns the action of a step by its number and what is known before it.
        seed: of the first episode; the next ones follow.
        until: time at which no further step is taken.
        steps: so many, at most.
    """
    shown: list[Arrays] = []
    with closing(make()) as env:
        driver, space = EnvDriver(env), env.single_observation_space
        env.action_space.seed(seed)
        while len(shown) < steps and time.perf_counter() < until:
            if len(shown) % _STEPS == 0:
                observation, infos = driver.reset(seed + len(shown) // _STEPS)
            before = space_leaves("observation", space, observation)
            step = driver.step(choose(len(shown), observation, env.action_space, infos))
            observation, infos = step.observation, step.infos
            paid = {"reward": step.reward, "over": step.terminated | step.truncated}
            shown.append({name: np.array(x) for name, x in (before | paid).items()})
    return shown


def _alike(shown: Sequence[Arrays], again: Sequence[Arrays]) -> bool:
    return all(
        np.array_equal(x, other[name], equal_nan=x.dtype.kind == "f")
        for one, other in zip(shown, again, strict=True)
        for name, x in one.items()
    )
