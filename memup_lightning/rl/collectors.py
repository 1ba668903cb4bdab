"""Episodes from a Gymnasium environment: spaces to fields, a vector environment and a policy to arrays."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from memup_lightning.envs.policies import InformedPolicy, Policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

Leaves = dict[str, npt.NDArray[Any]]

_log = logging.getLogger(__name__)

_BLOCK_BYTES = 4 << 20  # of the steps that are held together

INFO = "info."  # of the names under which infos of a step are kept


def space_fields(name: str, space: gymnasium.Space[Any]) -> dict[str, FieldSpec]:
    """The fields of a space: one, or one for each entry of a Dict or Tuple, named ``name.key``.

    Raises:
        MemUPError: a space that has no fixed shape.
    """
    if isinstance(space, spaces.Dict):
        return {key: f for part, sub in space.items() for key, f in space_fields(f"{name}.{part}", sub).items()}
    if isinstance(space, spaces.Tuple):
        return {key: f for n, sub in enumerate(space) for key, f in space_fields(f"{name}.{n}", sub).items()}
    if isinstance(space, spaces.Discrete):
        return {name: FieldSpec((), "int32", "token", int(space.n))}
    if isinstance(space, spaces.MultiDiscrete):
        return {name: FieldSpec(tuple(space.shape), "int32", "token", int(space.nvec.max()))}
    if isinstance(space, spaces.MultiBinary):
        return {name: FieldSpec(tuple(space.shape), "int8")}
    if isinstance(space, spaces.Box):
        if len(space.shape) == 3 and space.dtype == np.uint8:
            return {name: FieldSpec(tuple(space.shape), "uint8", "image")}
        kept = space.dtype == np.float32 or np.dtype(space.dtype).kind in "iub"
        return {name: FieldSpec(tuple(space.shape), np.dtype(space.dtype).name if kept else "float32")}
    raise MemUPError(
        f"the {name} space {space} has no fixed shape; "
        "Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple can be used: convert it with a wrapper"
    )


def space_leaves(name: str, space: gymnasium.Space[Any], batch: Any) -> Leaves:
    """The arrays ``[envs, ...]`` behind the fields of :func:`space_fields`, from a batch of a vector environment."""
    if isinstance(space, spaces.Dict):
        return {k: x for key, sub in space.items() for k, x in space_leaves(f"{name}.{key}", sub, batch[key]).items()}
    if isinstance(space, spaces.Tuple):
        return {k: x for n, sub in enumerate(space) for k, x in space_leaves(f"{name}.{n}", sub, batch[n]).items()}
    array = np.asarray(batch)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        array = array - np.asarray(space.start)
    return {name: array}


def space_starts(name: str, space: gymnasium.Space[Any]) -> dict[str, Any]:
    """What :func:`space_leaves` takes off the class numbers of each Discrete and MultiDiscrete entry, in plain values."""
    if isinstance(space, spaces.Dict):
        return {key: x for part, sub in space.items() for key, x in space_starts(f"{name}.{part}", sub).items()}
    if isinstance(space, spaces.Tuple):
        return {key: x for n, sub in enumerate(space) for key, x in space_starts(f"{name}.{n}", sub).items()}
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return {name: np.asarray(space.start).tolist()}
    return {}


def make_vector_env(
    env_id: str,
    num_envs: int,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]] = (),
) -> VectorEnv[Any, Any, Any]:
    """A vector environment: the environment's own where it has one and no wrapper is asked for.

    Raises:
        MemUPError: an unknown environment (with the nearest name there is), or arguments it does not take.
    """
    from memup_lightning import envs  # noqa: F401 (registers memup/...)

    try:
        spec = gymnasium.spec(env_id)
        native = spec.vector_entry_point is not None and not wrappers
        return gymnasium.make_vec(
            env_id,
            num_envs=num_envs,
            vectorization_mode="vector_entry_point" if native else "sync",
            wrappers=None if native else list(wrappers),  # type: ignore[arg-type]
            **(env_kwargs or {}),
        )
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise MemUPError(f"environment {env_id!r} cannot be made: {reason}{_nearest(env_id)}") from error
    except TypeError as error:
        raise MemUPError(f"environment {env_id!r} does not take env_kwargs={env_kwargs}: {error}") from error


def _nearest(env_id: str) -> str:
    import difflib

    near = difflib.get_close_matches(env_id, list(gymnasium.registry), n=1)
    if near and near[0] != env_id:
        return f"; did you mean {near[0]!r}?"
    return "; install or import the package that registers it (config key: imports)" if not near else ""


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
        MemUPError: no episode asked for, an episode that does not end, an autoreset mode that cannot be followed, an info
            that the environment does not give.
    """
    if episodes < 1:
        raise MemUPError(f"num_episodes={episodes}: collect at least one episode")
    mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    if mode == AutoresetMode.DISABLED:
        raise MemUPError("the vector environment does not reset itself; use AutoresetMode.NEXT_STEP or SAME_STEP")
    quota = np.full(env.num_envs, episodes // env.num_envs) + (np.arange(env.num_envs) < episodes % env.num_envs)
    done = np.zeros(env.num_envs, np.int64)
    age = np.zeros(env.num_envs, np.int64)
    resetting = np.zeros(env.num_envs, np.bool_)
    fields = space_fields("observation", env.single_observation_space)
    fields |= space_fields("action", env.single_action_space) | {"reward": FieldSpec()}
    fields |= {INFO + name: FieldSpec() for name in infos_kept}
    recent = RecentSteps(fields, env.num_envs)
    env.action_space.seed(seed)
    observation, infos = env.reset(seed=seed)
    if missing := [name for name in infos_kept if name not in infos]:
        raise MemUPError(f"the environment's infos hold no {', '.join(missing)}; they hold {', '.join(infos)}")
    discarded = 0
    while (done < quota).any():
        told = (infos,) if isinstance(policy, InformedPolicy) else ()
        action = policy(observation, env.action_space, *told)
        recent.add(space_leaves("observation", env.single_observation_space, observation))
        recent.add(space_leaves("action", env.single_action_space, action))
        recent.add({INFO + name: np.asarray(infos[name]) for name in infos_kept})
        observation, reward, terminated, truncated, infos = env.step(action)
        recent.add({"reward": np.asarray(reward)})
        recent.steps += 1
        over, playing = terminated | truncated, ~resetting & (done < quota)
        age += playing
        if age.max() > max_steps:
            raise MemUPError(f"an episode is longer than max_steps={max_steps}; wrap the environment in a TimeLimit")
        useless = discarded_episodes(infos, env.num_envs)
        for n in np.flatnonzero(over & playing).tolist():
            if useless[n]:
                discarded += 1
            else:
                yield Episode(recent.last(n, int(age[n])), bool(terminated[n]))
                done[n] += 1
            age[n] = 0
        recent.forget(int(age.max()))
        if mode == AutoresetMode.NEXT_STEP:
            resetting = over & ~resetting
    if discarded:
        _log.warning("%d episodes were discarded by their environment, and others played instead", discarded)


def discarded_episodes(infos: Mapping[str, Any], num_envs: int) -> npt.NDArray[np.bool_]:
    """Which environments say that the episode which has just ended is of no use, ``[envs]``."""
    told = infos.get("final_info", infos)  # where an environment resets itself at once
    return np.asarray(told.get("discarded", np.zeros(num_envs)), np.bool_)


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
