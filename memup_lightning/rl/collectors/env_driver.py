"""EnvDriver: steps of a vector environment under every autoreset mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv

from memup_lightning.data.episodes import MAX_MAGNITUDE
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.vector_envs import reset_env, reset_some, step_env
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, BoolArray, FloatArray, IntArray
from memup_lightning.user_warnings import option, warn_user

_ENDLESS = 50_000  # steps of each environment without the end of an episode, after which there is a warning


class EnvStep(NamedTuple):
    """Result of one step of N environments.

    Attributes:
        observation: of the next step, a batch of the observation space.
        reward: ``[N]``.
        terminated: where an episode ended by itself, bool ``[N]``.
        truncated: where one was cut off, bool ``[N]``.
        valid: False where the environment ignored the action and only began its next episode (``NEXT_STEP``), bool ``[N]``.
        is_first: where ``observation`` begins an episode, bool ``[N]``.
        final_observation: last observations of the episodes that ended in this step, where ``observation`` no longer shows
            them; None under ``NEXT_STEP``, and where the environment does not give them.
        discarded: environments that declare the episode which ended in this step unusable, bool ``[N]``.
        infos: those that came with ``observation``.
    """

    observation: Any
    reward: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    valid: BoolArray
    is_first: BoolArray
    final_observation: Any
    discarded: BoolArray
    infos: Mapping[str, Any]


class EnvDriver:
    """Driver that steps a vector environment, and resets environments that do not reset themselves.

    It warns once where after 50,000 steps of each environment no episode has ended.

    Args:
        env: closed by the caller.
        timeout: seconds to wait for a step of environments in processes of their own.
        max_steps: longest episode that the caller accepts, for the warning; None: any.

    Attributes:
        step_index: number of the step, in its episode, that each environment's observation belongs to, ``[N]``.

    Raises:
        MemUPError: an autoreset mode that Gymnasium does not know.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], timeout: float = 300.0, max_steps: int | None = None) -> None:
        self.env, self.timeout, self.max_steps = env, timeout, max_steps
        self.mode = autoreset_mode(env)
        self.step_index: IntArray = np.zeros(env.num_envs, np.int64)
        self._resetting = np.zeros(env.num_envs, np.bool_)
        self._steps: int | None = 0  # until the first episode ends; None afterwards

    def reset(self, seed: int) -> tuple[Any, Mapping[str, Any]]:
        """Begin the first episodes.

        Returns:
            The observations of all environments, and the infos.
        """
        self.step_index = np.zeros(self.env.num_envs, np.int64)
        self._resetting = np.zeros(self.env.num_envs, np.bool_)
        return reset_env(self.env, seed, self.timeout)

    def step(self, actions: npt.NDArray[Any]) -> EnvStep:
        """Take one step in every environment.

        Raises:
            MemUPError: a reward that is not finite, a process that died or does not answer.
        """
        observation, rewards, terminated, truncated, infos = step_env(self.env, actions, self.timeout)
        reward = np.asarray(rewards, np.float32)
        check_finite({"reward": reward}, self.step_index)
        over = terminated | truncated
        self._watch_end(over)
        valid = ~self._resetting
        final, discarded = None, _discarded(infos, self.env.num_envs)
        if self.mode == AutoresetMode.NEXT_STEP:
            is_first, self._resetting = self._resetting, over & valid
        else:
            is_first = over
            if self.mode == AutoresetMode.SAME_STEP:
                final = infos.get("final_obs")
            elif over.any():
                final = observation
                observation, new = reset_some(self.env, over)
                infos = {**infos, **{name: _merged(infos.get(name), x, over) for name, x in new.items()}}
        self.step_index = np.where(is_first, 0, self.step_index + 1)
        return EnvStep(observation, reward, terminated, truncated, valid, is_first, final, discarded, infos)

    def _watch_end(self, over: BoolArray) -> None:
        if self._steps is None:
            return
        self._steps = None if over.any() else self._steps + 1
        if self._steps == _ENDLESS:
            most = self.max_steps
            refused = "" if most is None else f", and one of more than {most:,} (max_steps) is refused"
            name = self.env.spec.id if self.env.spec is not None else type(self.env).__name__
            limit = option("data.env_kwargs.max_episode_steps", 1000, "env_kwargs={'max_episode_steps': 1000}")
            warn_user(
                f"no episode of {name} has ended after {_ENDLESS:,} steps{refused}; if none ever ends, give it a time "
                f"limit: {limit}, or gymnasium.wrappers.TimeLimit"
            )


def autoreset_mode(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """Return when a vector environment begins its next episodes; ``NEXT_STEP`` where it does not say.

    Raises:
        MemUPError: a mode that Gymnasium does not know.
    """
    given = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    name = str(getattr(given, "value", given))
    for mode in AutoresetMode:
        if name.replace("_", "").lower() == mode.value.lower():
            return mode
    raise MemUPError(
        f"the vector environment declares metadata['autoreset_mode']={given!r}, which Gymnasium does not know; declare one "
        f"of {', '.join(f'AutoresetMode.{mode.name}' for mode in AutoresetMode)}"
    )


def require_final(final_observation: Any) -> Any:
    """Return the last observations of the episodes that have ended, as an environment that resets itself gives them.

    Raises:
        MemUPError: it gives none.
    """
    if final_observation is None:
        raise MemUPError(
            "the vector environment resets itself in the same step (AutoresetMode.SAME_STEP), but its infos hold no "
            "'final_obs', the last observations of episodes; add them, or use AutoresetMode.NEXT_STEP"
        )
    return final_observation


def check_finite(arrays: Arrays, step_index: IntArray | None = None, envs: IntArray | None = None) -> None:
    """Refuse numbers that are NaN, infinite or too large to train on.

    Args:
        arrays: fields of a step, each ``[N, ...]``.
        step_index: number of the step in each environment's episode, ``[N]``; None: unknown.
        envs: numbers of the environments; by default ``0, ..., N - 1``.

    Raises:
        MemUPError: the first such number, with its environment, step and field.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not (np.abs(array) <= MAX_MAGNITUDE).all():  # False for NaN
            row, *_ = place = np.argwhere(~(np.abs(array) <= MAX_MAGNITUDE))[0].tolist()
            env = row if envs is None else int(envs[row])
            step = "" if step_index is None else f" at step {step_index[row]} of its episode"
            raise MemUPError(
                f"environment {env} gave {array[tuple(place)]:g}{step} (field {name}); correct the environment, or replace "
                f"such numbers by a wrapper: give finite numbers of magnitude {MAX_MAGNITUDE:g} at most"
            )


def check_classes(
    arrays: Arrays, fields: Mapping[str, FieldSpec], step_index: IntArray | None = None, envs: IntArray | None = None
) -> None:
    """Refuse class numbers that a Discrete space does not have, which an embedding could not look up.

    Args:
        arrays, step_index, envs: as for :func:`check_finite`.
        fields: of the arrays.

    Raises:
        MemUPError: the first such number, with its environment, step and field.
    """
    for name, array in arrays.items():
        field = fields[name]
        if field.type == "token" and (bad := (array < 0) | (array >= field.classes)).any():
            row, *_ = place = np.argwhere(bad)[0].tolist()
            env = row if envs is None else int(envs[row])
            step = "" if step_index is None else f" at step {step_index[row]} of its episode"
            raise MemUPError(
                f"environment {env} gave class {array[tuple(place)]}{step} (field {name}), counted from the first of its "
                f"space, which has {field.classes}; correct the environment, or declare a larger space"
            )


def episode_quota(num_envs: int, episodes: int) -> IntArray:
    """Return how many of its first episodes each environment contributes, ``[N]``.

    It is the same number (to one) for all, since the episodes that end first would be short ones.
    """
    return np.full(num_envs, episodes // num_envs) + (np.arange(num_envs) < episodes % num_envs)


def _discarded(infos: Mapping[str, Any], num_envs: int) -> BoolArray:
    last = infos.get("final_info", infos)  # where an environment resets itself at once
    return np.asarray(last.get("discarded", np.zeros(num_envs)), np.bool_)


def _merged(before: Any, new: Any, reset: BoolArray) -> Any:
    """Return an info of all environments, after some of them were reset."""
    if isinstance(before, np.ndarray) and isinstance(new, np.ndarray) and before.shape == new.shape:
        return np.where(reset.reshape(-1, *[1] * (new.ndim - 1)), new, before)
    return new
