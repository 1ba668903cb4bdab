"""Episodes from a Gymnasium environment: spaces to fields, a vector environment and a policy to arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from memup_lightning.episodes import Arrays, IntArray
from memup_lightning.errors import MemUPError
from memup_lightning.task import Field

Policy: TypeAlias = Callable[[Any, gymnasium.Space[Any]], Any]
"""From the observations of all environments and their joint action space to an action for each."""

Leaves = dict[str, npt.NDArray[Any]]


def random_policy(observations: Any, action_space: gymnasium.Space[Any]) -> Any:
    """Every action equally likely; seeded with the environment."""
    return action_space.sample()


def space_fields(name: str, space: gymnasium.Space[Any]) -> dict[str, Field]:
    """The fields of a space: one, or one for each entry of a Dict or Tuple, named ``name.key``.

    Raises:
        MemUPError: a space that has no fixed shape.
    """
    if isinstance(space, spaces.Dict):
        return {key: f for part, sub in space.items() for key, f in space_fields(f"{name}.{part}", sub).items()}
    if isinstance(space, spaces.Tuple):
        return {key: f for n, sub in enumerate(space) for key, f in space_fields(f"{name}.{n}", sub).items()}
    if isinstance(space, spaces.Discrete):
        return {name: Field((), "int32", "token", int(space.n))}
    if isinstance(space, spaces.MultiDiscrete):
        return {name: Field(tuple(space.shape), "int32", "token", int(space.nvec.max()))}
    if isinstance(space, spaces.MultiBinary):
        return {name: Field(tuple(space.shape), "int8")}
    if isinstance(space, spaces.Box):
        if len(space.shape) == 3 and space.dtype == np.uint8:
            return {name: Field(tuple(space.shape), "uint8", "image")}
        kept = space.dtype == np.float32 or np.dtype(space.dtype).kind in "iub"
        return {name: Field(tuple(space.shape), np.dtype(space.dtype).name if kept else "float32")}
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


def collect(
    env: VectorEnv[Any, Any, Any], policy: Policy, episodes: int, seed: int, max_steps: int = 1_000_000
) -> tuple[Arrays, IntArray, npt.NDArray[np.bool_]]:
    """Play whole episodes.

    Each environment contributes its first episodes, the same number of them (to one): to take the episodes that end
    first would favour short ones.

    Args:
        env: played from a reset with ``seed``; closed by the caller.
        policy: chooses the actions.
        episodes: how many.
        seed: of environments and of the action space's samples.
        max_steps: an episode longer than this is refused.

    Returns:
        Fields of all episodes end to end (``observation...``, ``action...``, ``reward``), the episodes' lengths, and
        whether each terminated (else it was truncated).

    Raises:
        MemUPError: no episode asked for, an episode that does not end, an autoreset mode that cannot be followed.
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
    steps: list[Leaves] = []
    real: list[npt.NDArray[np.bool_]] = []
    ends: list[npt.NDArray[np.bool_]] = []
    natural: list[npt.NDArray[np.bool_]] = []
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    while (done < quota).any():
        action = policy(observation, env.action_space)
        leaves = space_leaves("observation", env.single_observation_space, observation)
        leaves |= space_leaves("action", env.single_action_space, action)
        leaves = {name: np.array(x) for name, x in leaves.items()}
        observation, reward, terminated, truncated, _ = env.step(action)
        playing = ~resetting & (done < quota)
        over = (terminated | truncated) & playing
        leaves["reward"] = np.asarray(reward, np.float32).copy()
        steps.append(leaves)
        real.append(playing)
        ends.append(over)
        natural.append(np.asarray(terminated).copy())
        done += over
        age = np.where(over, 0, age + playing)
        if age.max() > max_steps:
            raise MemUPError(f"an episode is longer than max_steps={max_steps}; wrap the environment in a TimeLimit")
        if mode == AutoresetMode.NEXT_STEP:
            resetting = (terminated | truncated) & ~resetting
    keep = np.stack(real).T  # [envs, time]: an environment's episodes stand one after another
    fields = space_fields("observation", env.single_observation_space)
    fields |= space_fields("action", env.single_action_space) | {"reward": Field()}
    arrays = {name: np.stack([s[name] for s in steps], axis=1)[keep].astype(fields[name].dtype) for name in fields}
    last = np.flatnonzero(np.stack(ends).T[keep])
    return arrays, np.diff(last, prepend=-1), np.stack(natural).T[keep][last]
