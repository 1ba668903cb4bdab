"""Episodes from a Gymnasium environment: spaces to fields, a vector environment and a policy to arrays."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from memup_lightning.envs.policies import InformedPolicy, Policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.env_driver import EnvDriver, check_finite, episode_quota
from memup_lightning.rl.spaces import Leaves, space_fields, space_leaves
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

_log = logging.getLogger(__name__)

_BLOCK_BYTES = 4 << 20  # of the steps that are held together

INFO = "info."  # of the names under which infos of a step are kept


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
    """Play whole episodes; each is handed out when it ends, and only those that are being played are held.

    Each environment contributes its first episodes, the same number of them (to one): to take the episodes that end
    first would favour short ones. An episode of which the environment says ``discarded`` in its infos (Two-Colors does
    when its engine died) is left out, and another one played instead.

    Args:
        env: played from a reset with ``seed``; closed by the caller.
        policy: chooses the actions.
        episodes: how many.
        seed: of environments and of the action space's samples.
        max_steps: an episode longer than this is refused.
        infos_kept: names of numbers in the infos that came with the observation; they are kept beside it.

    Yields:
        Episodes with the fields ``observation...``, ``action...``, ``reward`` and ``info.NAME``, in the order in which they
        end.

    Raises:
        MemUPError: no episode asked for, an episode that does not end, an unknown autoreset mode, a number that is not
            finite, an info that the environment does not give.
    """
    if episodes < 1:
        raise MemUPError(f"num_episodes={episodes}: collect at least one episode")
    driver = EnvDriver(env)
    quota = episode_quota(env.num_envs, episodes)
    done = np.zeros(env.num_envs, np.int64)
    age = np.zeros(env.num_envs, np.int64)
    fields = space_fields("observation", env.single_observation_space)
    fields |= space_fields("action", env.single_action_space) | {"reward": FieldSpec()}
    fields |= {INFO + name: FieldSpec() for name in infos_kept}
    recent = RecentSteps(fields, env.num_envs)
    env.action_space.seed(seed)
    observation, infos = driver.reset(seed)
    if missing := [name for name in infos_kept if name not in infos]:
        raise MemUPError(f"the environment's infos hold no {', '.join(missing)}; they hold {', '.join(infos)}")
    discarded = 0
    while (done < quota).any():
        told = (infos,) if isinstance(policy, InformedPolicy) else ()
        action = policy(observation, env.action_space, *told)
        leaves = space_leaves("observation", env.single_observation_space, observation)
        check_finite(leaves, driver.step_index)
        recent.add(leaves)
        recent.add(space_leaves("action", env.single_action_space, action))
        recent.add({INFO + name: np.asarray(infos[name]) for name in infos_kept})
        step = driver.step(action)
        observation, infos = step.observation, step.infos
        recent.add({"reward": step.reward})
        recent.steps += 1
        over, playing = step.terminated | step.truncated, step.valid & (done < quota)
        age += playing
        if age.max() > max_steps:
            raise MemUPError(f"an episode is longer than max_steps={max_steps}; wrap the environment in a TimeLimit")
        for n in np.flatnonzero(over & playing).tolist():
            if step.discarded[n]:
                discarded += 1
            else:
                yield Episode(recent.last(n, int(age[n])), bool(step.terminated[n]))
                done[n] += 1
            age[n] = 0
        recent.forget(int(age.max()))
    if discarded:
        _log.warning("%d episodes were discarded by their environment, and others played instead", discarded)


class RecentSteps:
    """The last steps of all environments, in blocks that are dropped when no episode reaches back to them.

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
        """Some of the fields of the step that is next to be completed, each ``[envs, ...]``."""
        block, row = divmod(self.steps - self.begin, self.block)
        if block == len(self.blocks):
            size = (self.block, self.num_envs)
            self.blocks.append({name: np.empty((*size, *f.shape), f.dtype) for name, f in self.fields.items()})
        for name, array in leaves.items():
            self.blocks[block][name][row] = array

    def last(self, env: int, count: int) -> Arrays:
        """The last ``count`` steps of an environment, each field ``[count, *shape]``."""
        begin, stop = self.steps - count - self.begin, self.steps - self.begin
        blocks = range(begin // self.block, -(-stop // self.block))
        at = [slice(max(begin - block * self.block, 0), stop - block * self.block) for block in blocks]
        return {
            name: np.concatenate([self.blocks[block][name][part, env] for block, part in zip(blocks, at, strict=True)])
            for name in self.fields
        }

    def forget(self, keep: int) -> None:
        """Drop what lies before the last ``keep`` steps."""
        while self.begin + self.block <= self.steps - keep:
            self.blocks.popleft()
            self.begin += self.block


def lay_end_to_end(episodes: Sequence[Episode]) -> tuple[Arrays, IntArray, npt.NDArray[np.bool_]]:
    """Fields of all episodes ``[sum(lengths), *shape]``, their lengths, and whether each terminated."""
    arrays = {name: np.concatenate([e.arrays[name] for e in episodes]) for name in episodes[0].arrays}
    lengths = np.array([len(e.arrays["reward"]) for e in episodes])
    return arrays, lengths, np.array([e.terminated for e in episodes])
