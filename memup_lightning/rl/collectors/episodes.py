"""Collection of whole episodes: a vector environment and a policy to arrays."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv
from tqdm import tqdm

from memup_lightning.data.episodes import MAX_MAGNITUDE
from memup_lightning.envs.policies import InformedPolicy, Policy
from memup_lightning.exceptions import MemUPError, check_counts, counted, user_code
from memup_lightning.progress import progress_bar
from memup_lightning.rl.collectors.env_driver import EnvDriver, episode_quota
from memup_lightning.rl.spaces import Leaves, space_fields, space_leaves, space_parts
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray
from memup_lightning.user_warnings import warn_user

INFO = "info."
"""Prefix of the fields that hold infos of a step."""

_BLOCK_BYTES = 4 << 20  # of the steps that are held together
_PROGRESS_STEPS = 32  # steps between two updates of the speed that it shows


class Episode(NamedTuple):
    """A whole episode.

    Attributes:
        arrays: each field ``[length, *shape]``.
        terminated: whether it ended by itself; else it was cut off.
    """

    arrays: Arrays
    terminated: bool


def collect(
    env: VectorEnv[Any, Any, Any],
    policy: Policy,
    episodes: int,
    seed: int,
    max_steps: int = 1_000_000,
    infos_kept: Sequence[str] = (),
) -> Iterator[Episode]:
    """Play whole episodes; each is yielded when it ends, and only unfinished ones are held.

    Each environment contributes its first episodes, the same number of them (to one): taking the episodes that end first
    would favour short ones. An episode of which the environment says ``discarded`` in its infos (Two-Colors does when its
    engine died) is left out, and another one played instead.

    Args:
        env: played from a reset with ``seed``; closed by the caller.
        policy: chooses the actions.
        episodes: how many.
        seed: of environments and of the action space's samples.
        max_steps: an episode longer than this is refused.
        infos_kept: names of numbers in the infos that came with the observation; they are stored with it.

    Yields:
        Episodes with the fields ``observation...``, ``action...``, ``reward`` and ``info.NAME``, in the order in which they
        end.

    A progress bar shows episodes and steps a second where that takes longer than two seconds.

    Raises:
        MemUPError: no episode asked for, an episode that does not end, an unknown autoreset mode, an info that the
            environment does not give, a number that is not finite or too large.
    """
    check_counts(1, num_episodes=episodes, max_steps=max_steps)
    driver = EnvDriver(env, max_steps=max_steps)
    quota = episode_quota(env.num_envs, episodes)
    done = np.zeros(env.num_envs, np.int64)
    age = np.zeros(env.num_envs, np.int64)
    fields = space_fields("observation", env.single_observation_space)
    fields |= space_fields("action", env.single_action_space) | {"reward": FieldSpec()}
    fields |= {INFO + name: FieldSpec() for name in infos_kept}
    called = f" ({env.spec.id})" if env.spec is not None else ""
    recent = RecentSteps(fields, env.num_envs)
    env.action_space.seed(seed)
    observation, infos = driver.reset(seed)
    if missing := [name for name in infos_kept if name not in infos]:
        raise MemUPError(f"the environment's infos hold no {', '.join(missing)}; they hold {', '.join(infos)}")
    discarded, began = 0, time.monotonic()
    shown: set[tuple[int, ...]] = set()  # checksums of what the episodes show
    bar: tqdm[Any] = progress_bar(None, "collecting", "episodes", total=episodes)
    while (done < quota).any():
        informed = (infos,) if isinstance(policy, InformedPolicy) else ()
        with user_code("the policy", "policy(observations, action_space) returns an action for each environment"):
            action = _actions(policy(observation, env.action_space, *informed), env)
        recent.add(space_leaves("observation", env.single_observation_space, observation))
        recent.add(space_leaves("action", env.single_action_space, action))
        recent.add({INFO + name: np.asarray(infos[name]) for name in infos_kept})
        step = driver.step(action)
        observation, infos = step.observation, step.infos
        recent.add({"reward": step.reward})
        recent.steps += 1
        over, playing = step.terminated | step.truncated, step.valid & (done < quota)
        age += playing
        if age.max() > max_steps:
            raise MemUPError(
                f"the episode of environment {age.argmax()} is longer than max_steps={max_steps}; give it a time limit "
                "(env_kwargs: {max_episode_steps: N}), or raise max_steps"
            )
        for n in np.flatnonzero(over & playing).tolist():
            if step.discarded[n]:
                discarded += 1
            else:
                episode = Episode(recent.last(n, int(age[n])), bool(step.terminated[n]))
                check_episode(episode, f"episode {done[n]} of environment {n}{called}", fields)
                if len(shown) < 2:
                    shown.add(_observation_checksums(episode))
                yield episode
                bar.update()
                done[n] += 1
            age[n] = 0
        recent.forget(int(age.max()))
        if recent.steps % _PROGRESS_STEPS == 0:
            speed = recent.steps * env.num_envs / (time.monotonic() - began)
            bar.set_postfix_str(f"{speed:,.0f} steps/s", refresh=False)
            bar.update(0)
    bar.close()
    if discarded:
        warn_user(f"the environment discarded {counted(discarded, 'episode')}, and as many others were played instead")
    if len(shown) == 1 and episodes > 1 and not _shows_one_value(env):
        warn_user(
            f"all {episodes} episodes show the same observations; where they should differ, the environment must draw from "
            "self.np_random, and its reset(seed=None) must not seed it again: super().reset(seed=seed)"
        )


def _shows_one_value(env: VectorEnv[Any, Any, Any]) -> bool:
    """Return whether all observations are equal by their space, as those of a bandit are (``Discrete(1)``)."""
    fields = space_fields("observation", env.single_observation_space).values()
    return all(field.type == "token" and field.classes == 1 for field in fields)


def _actions(actions: Any, env: VectorEnv[Any, Any, Any]) -> Any:
    """Return the actions of a policy, arrays where the space is one.

    Raises:
        MemUPError: another number of actions than environments, or no whole numbers where the actions are numbered.
    """
    if space_parts(env.action_space) is not None:
        return actions
    array, space = np.asarray(actions), env.action_space
    shape = space.shape or ()
    whole = np.issubdtype(space.dtype, np.integer)
    kind = array.dtype.kind
    broken = whole and kind not in "iub" and (kind != "f" or (array != np.floor(array)).any())
    if array.shape != shape or broken:
        found = f"shape {list(array.shape)}" if array.shape != shape else f"values such as {array.flat[0]!s}"
        raise MemUPError(
            f"the policy returned actions of {found}; give one for each environment, {list(shape)} "
            f"{'whole numbers' if whole else 'numbers'} of {env.single_action_space}"
        )
    return array.astype(space.dtype, copy=False) if whole else array


def _observation_checksums(episode: Episode) -> tuple[int, ...]:
    leaves = sorted((name, array) for name, array in episode.arrays.items() if name.startswith("observation"))
    return tuple(zlib.crc32(array.tobytes()) for _, array in leaves)


def check_episode(episode: Episode, place: str, fields: Mapping[str, FieldSpec] | None = None) -> None:
    """Refuse numbers that are not finite or too large to train on, and class numbers that their space does not have; infos
    are not checked, as no network reads them.

    Args:
        episode: an episode.
        place: which one it is, for the message.
        fields: of its arrays; None: class numbers are not checked.

    Raises:
        MemUPError: naming field, place, step and value.
    """
    for name, array in episode.arrays.items():
        if fields is not None and fields[name].type == "token":
            _check_classes(name, array, fields[name].classes, place)
        if array.dtype.kind != "f" or name.startswith(INFO):
            continue
        if not array.size or (array.min() >= -MAX_MAGNITUDE and array.max() <= MAX_MAGNITUDE):  # False for NaN
            continue
        step, *entry = np.argwhere(~(np.abs(array) <= MAX_MAGNITUDE))[0].tolist()
        raise MemUPError(
            f"{name}{entry or ''} at step {step} of {place} is {array[(step, *entry)]:g}; give finite numbers of magnitude "
            f"{MAX_MAGNITUDE:g} at most: correct or clip them with a wrapper"
        )


def _check_classes(name: str, array: npt.NDArray[Any], classes: int, place: str) -> None:
    if not array.size or (array.min() >= 0 and array.max() < classes):
        return
    step, *entry = np.argwhere((array < 0) | (array >= classes))[0].tolist()
    by, larger = ("policy", "") if name.startswith("action") else ("environment", ", or declare a larger space")
    raise MemUPError(
        f"{name}{entry or ''} at step {step} of {place} is {array[(step, *entry)]}, counted from the first of its space, "
        f"which has {classes}: correct the {by}{larger}"
    )


class RecentSteps:
    """Last steps of all environments, in blocks that are dropped when no unfinished episode needs them.

    Args:
        fields: of a step.
        num_envs: number of environments.

    Attributes:
        steps: number of steps that were completed.
    """

    def __init__(self, fields: Mapping[str, FieldSpec], num_envs: int) -> None:
        step_bytes = sum(field.step_bytes for field in fields.values())
        self.fields, self.num_envs = fields, num_envs
        self.block = int(np.clip(_BLOCK_BYTES // (step_bytes * num_envs), 1, 1024))  # steps
        self.blocks: deque[Arrays] = deque()
        self.begin = 0  # number of the first step that is held
        self.steps = 0

    def add(self, leaves: Leaves) -> None:
        """Add some fields of the step that is not complete yet, each ``[envs, ...]``."""
        block, row = divmod(self.steps - self.begin, self.block)
        if block == len(self.blocks):
            size = (self.block, self.num_envs)
            self.blocks.append({name: np.empty((*size, *f.shape), f.dtype) for name, f in self.fields.items()})
        # What float32 does not hold is infinite then, and refused at the episode's end.
        with np.errstate(over="ignore"):
            for name, array in leaves.items():
                self.blocks[block][name][row] = array

    def last(self, env: int, count: int) -> Arrays:
        """Return the last ``count`` steps of an environment, each field ``[count, *shape]``."""
        begin, stop = self.steps - count - self.begin, self.steps - self.begin
        blocks = range(begin // self.block, -(-stop // self.block))
        at = [slice(max(begin - block * self.block, 0), stop - block * self.block) for block in blocks]
        return {
            name: np.concatenate([self.blocks[block][name][part, env] for block, part in zip(blocks, at, strict=True)])
            for name in self.fields
        }

    def forget(self, keep: int) -> None:
        """Drop the steps before the last ``keep``."""
        while self.begin + self.block <= self.steps - keep:
            self.blocks.popleft()
            self.begin += self.block


def concatenate_episodes(episodes: Sequence[Episode]) -> tuple[Arrays, IntArray, npt.NDArray[np.bool_]]:
    """Return the fields of all episodes ``[sum(lengths), *shape]``, their lengths, and whether each terminated."""
    arrays = {name: np.concatenate([e.arrays[name] for e in episodes]) for name in episodes[0].arrays}
    lengths = np.array([len(e.arrays["reward"]) for e in episodes])
    return arrays, lengths, np.array([e.terminated for e in episodes])
