"""Whether the seed of a reset decides the episodes of an environment."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
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
