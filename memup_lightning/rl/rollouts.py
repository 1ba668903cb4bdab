"""Rollouts: a vector environment and an actor, step by step, episode after episode.

What the actor reads at a step is what a memory reads at that step of a recorded episode: the observation, the action
before it and the reward before it, and at the first step of an episode the fields' fill. So a memory that was trained on
chunks goes on here, one step at a time, with the same states.

Letters: T steps, N environments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array
from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import State, take
from memup_lightning.models.memory.base import may_hold
from memup_lightning.rl.collectors import discarded_episodes
from memup_lightning.rl.spaces import Leaves, space_leaves
from memup_lightning.rl.vector_envs import reset_env, reset_some, step_env
from memup_lightning.specs import FieldSpec, TaskSpec

_BLOCK = 32  # steps whose records are written together

BoolArray = npt.NDArray[np.bool_]


class ActorOutput(NamedTuple):
    """What an actor does at a step.

    Attributes:
        action: ``[N, ...]``; class numbers, or numbers that are clipped to the action space.
        record: what is kept of the step for learning, each ``[N, ...]``; ``value`` is among it.
        state: the actor's state behind the step.
    """

    action: Tensor
    record: dict[str, Tensor]
    state: State


class Actor(Protocol):
    """Plays N environments at once. It may change between two steps: what it learned counts from then on."""

    def initial_state(self, envs: int) -> State:
        """State at the beginning of an episode."""
        ...

    def act(self, inputs: Fields, state: State, is_first: Tensor) -> ActorOutput:
        """Choose the actions.

        Args:
            inputs: what a memory reads at this step, each field ``[N, ...]``.
            state: state before the step.
            is_first: environments whose episode begins: their state is reset first, bool ``[N]``.
        """
        ...

    def value(self, inputs: Fields, state: State, is_first: Tensor) -> Tensor:
        """The return that is expected from here, ``[N]``; nothing else comes of it."""
        ...


@dataclass
class Rollout:
    """T steps of N environments. Episodes begin and end anywhere in it.

    Attributes:
        record: what the actor kept of every step, each ``[T, N, ...]``.
        is_first: where an episode begins, bool ``[T, N]``.
        valid: False where the environment ignored the action and only began its next episode, bool ``[T, N]``.
        reward: ``[T, N]``.
        terminated: where an episode ended by itself, bool ``[T, N]``.
        truncated: where one was cut off, bool ``[T, N]``.
        next_value: the actor's value of what came next in the same episode, ``[T, N]``; of no use where terminated.
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
        """Steps that an environment really took."""
        return int(self.valid.sum())


class EpisodeResult(NamedTuple):
    """An episode that is over.

    Attributes:
        env: number of the environment that played it.
        episode_return: sum of its rewards.
        length: number of its steps.
    """

    env: int
    episode_return: float
    length: int


class MemoryInputs:
    """What a memory reads at a step, from what an environment returned: as the datamodules lay it out in episodes.

    Args:
        task: its inputs: ``observation...`` of the step itself, ``action`` and ``reward`` of the one before.
        observed: entries of a flat observation that are seen; None: all.

    Raises:
        MemUPError: inputs that an environment does not give at that step.
    """

    def __init__(self, task: TaskSpec, observed: list[int] | None = None) -> None:
        for name, lag in task.inputs.items():
            if lag != (0 if name.partition(".")[0] == "observation" else 1):
                raise MemUPError(
                    f"the input {name!r} is read with a lag of {lag} steps; an agent reads observations of the present "
                    "step, and action and reward of the one before"
                )
        self.fields = task.input_fields
        self.observed = observed

    def __call__(self, observation: Leaves, action: Tensor, reward: Tensor, is_first: Tensor) -> Fields:
        """The fields ``[N, ...]``.

        Args:
            observation: of this step, as :func:`~memup_lightning.rl.spaces.space_leaves` gives it.
            action: of the step before, ``[N, ...]``; of no account where the episode begins.
            reward: of the step before, ``[N]``.
            is_first: where the episode begins, bool ``[N]``.
        """
        fields: Fields = {}
        begins = may_hold(is_first)
        for name, field in self.fields.items():
            if name in ("action", "reward"):
                before = (action if name == "action" else reward).to(getattr(torch, field.dtype))
                fields[name] = _filled(before, field, is_first) if begins else before
            else:
                seen = observation[name] if self.observed is None else observation[name][:, self.observed]
                array = np.ascontiguousarray(seen, dtype=field.dtype)
                fields[name] = torch.from_numpy(array).to(is_first.device)
        return fields


def _filled(x: Tensor, field: FieldSpec, is_first: Tensor) -> Tensor:
    return x.masked_fill(is_first.view(-1, *[1] * (x.dim() - 1)), field.fill)


def no_action(field: FieldSpec, envs: int) -> Tensor:
    """What stands for the action before the first one."""
    return torch.full((envs, *field.shape), field.fill, dtype=getattr(torch, field.dtype))


class _Step(NamedTuple):
    """One step of all environments; :class:`Rollout` says what the parts are."""

    record: dict[str, Tensor]
    is_first: Tensor
    valid: BoolArray
    reward: npt.NDArray[np.float32]
    terminated: BoolArray
    truncated: BoolArray
    cut_rows: npt.NDArray[np.int64]  # environments that were truncated and have begun anew within the step
    cut_values: Tensor  # the value of what would have come next in each of them


class RolloutCollector:
    """Plays a vector environment, and goes on where it stopped: episodes reach from one rollout into the next.

    Every autoreset mode of Gymnasium is followed. Under ``NEXT_STEP`` the call after an episode's end takes no action; it
    is marked, and nobody learns from it; the last observation is read like any other, so that a truncated episode is
    valued by what came next. Under ``SAME_STEP`` and ``DISABLED`` that value is asked for at once.

    Args:
        env: closed by the caller.
        task: what the actor reads.
        seed: of the environments.
        observed: entries of a flat observation that are seen; None: all.
        device: where the actor computes.
        timeout: seconds to wait for a step of environments in processes of their own.

    Attributes:
        finished: the episodes that are over and that nobody has taken from here yet. One that its environment calls
            ``discarded`` (Two-Colors, when its engine died) is none of them.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        task: TaskSpec,
        seed: int,
        observed: list[int] | None = None,
        device: torch.device | str = "cpu",
        timeout: float = 300.0,
    ) -> None:
        self.env, self.timeout = env, timeout
        self.mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.device = torch.device(device)
        self.inputs = MemoryInputs(task, observed)
        self.finished: list[EpisodeResult] = []
        self._actions = describe_actions(env.single_action_space)
        n = env.num_envs
        self._observation = self._leaves(reset_env(env, seed, timeout))
        self._action = no_action(task.fields["action"], n).to(self.device)
        self._reward = torch.zeros(n, device=self.device)
        self._is_first = torch.ones(n, dtype=torch.bool, device=self.device)
        self._resetting = np.zeros(n, np.bool_)
        self._returns, self._lengths = np.zeros(n), np.zeros(n, np.int64)
        self._state: State | None = None

    def rollout(self, actor: Actor, steps: int) -> Rollout:
        """Play some steps of every environment.

        Args:
            actor: plays; the state that it returned at the last rollout is handed to it again.
            steps: T.
        """
        state = self._state_of(actor)
        played, record = [], dict[str, Tensor]()
        for start in range(0, steps, _BLOCK):
            block = [self._step(actor) for _ in range(start, min(start + _BLOCK, steps))]
            for name, x in block[0].record.items():
                if not start:
                    record[name] = x.new_empty((steps, *x.shape))
                torch.stack([now.record[name] for now in block], out=record[name][start : start + len(block)])
            played += [now._replace(record={}) for now in block]
        value = record["value"]
        next_value = torch.cat([value[1:], self._value(actor)[None]])
        for t, now in enumerate(played):
            if len(now.cut_rows):
                next_value[t, torch.from_numpy(now.cut_rows).to(self.device)] = now.cut_values
        return Rollout(
            record=record,
            is_first=torch.stack([now.is_first for now in played]),
            valid=self._stack([now.valid for now in played]),
            reward=self._stack([now.reward for now in played]),
            terminated=self._stack([now.terminated for now in played]),
            truncated=self._stack([now.truncated for now in played]),
            next_value=next_value,
            state=state,
        )

    def episodes(self, actor: Actor, episodes: int) -> Iterator[EpisodeResult]:
        """Play whole episodes, and hand each out when it ends.

        Each environment contributes its first ones, the same number of them (to one): to take the episodes that end first
        would favour short ones. So it must not have been played before.
        """
        n = self.env.num_envs
        quota = np.full(n, episodes // n) + (np.arange(n) < episodes % n)
        while quota.any():
            self._step(actor)
            for result in self.take_finished():
                if quota[result.env]:
                    quota[result.env] -= 1
                    yield result

    def take_finished(self) -> list[EpisodeResult]:
        """The episodes that ended since this was called last."""
        taken, self.finished = self.finished, []
        return taken

    def _state_of(self, actor: Actor) -> State:
        if self._state is None:
            self._state = actor.initial_state(self.env.num_envs)
        return self._state

    def _leaves(self, observation: Any) -> Leaves:
        return space_leaves("observation", self.env.single_observation_space, observation)

    def _read(self) -> Fields:
        return self.inputs(self._observation, self._action, self._reward, self._is_first)

    def _value(self, actor: Actor) -> Tensor:
        return actor.value(self._read(), self._state_of(actor), self._is_first)

    def _step(self, actor: Actor) -> _Step:
        is_first, resetting = self._is_first, self._resetting
        action, record, state = actor.act(self._read(), self._state_of(actor), is_first)
        observation, reward, terminated, truncated, infos = step_env(
            self.env, to_space(self._actions, action), self.timeout
        )
        valid = ~resetting
        reward = np.asarray(reward, np.float32)
        if not np.isfinite(reward).all():
            raise MemUPError(f"the environment paid a reward of {reward[~np.isfinite(reward)][0]}; mend it, or wrap it")
        over = terminated | truncated
        self._state, self._action = state, action
        self._reward = torch.from_numpy(reward).to(self.device)
        self._count(reward, over, valid, discarded_episodes(infos, self.env.num_envs))
        cut_rows, cut_values = np.zeros(0, np.int64), self._reward[:0]
        if self.mode == AutoresetMode.NEXT_STEP:
            begins, self._resetting = resetting, over & valid
        else:
            begins = over
            if over.any():
                final = infos.get("final_obs") if self.mode == AutoresetMode.SAME_STEP else observation
                cut_rows = np.flatnonzero(truncated & ~terminated)
                if len(cut_rows):
                    cut_values = self._value_of(actor, final, cut_rows)
                if self.mode == AutoresetMode.DISABLED:
                    observation = reset_some(self.env, over)
        self._observation = self._leaves(observation)
        self._is_first = torch.from_numpy(begins.copy()).to(self.device)
        return _Step(record, is_first, valid, reward, terminated, truncated, cut_rows, cut_values)

    def _value_of(self, actor: Actor, final: Any, rows: npt.NDArray[np.int64]) -> Tensor:
        """The value behind the last step of some environments, whose next episode has begun."""
        leaves = self._leaves(_rows(self.env.single_observation_space, final, rows))
        at = torch.from_numpy(rows).to(self.device)
        goes_on = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
        inputs = self.inputs(leaves, self._action[at], self._reward[at], goes_on)
        return actor.value(inputs, take(self._state_of(actor), at), goes_on)

    def _count(self, reward: npt.NDArray[np.float32], over: BoolArray, valid: BoolArray, discarded: BoolArray) -> None:
        self._returns += np.where(valid, reward, 0)
        self._lengths += valid
        for env in np.flatnonzero(over & valid).tolist() if over.any() else ():
            if not discarded[env]:
                self.finished.append(EpisodeResult(env, float(self._returns[env]), int(self._lengths[env])))
            self._returns[env], self._lengths[env] = 0.0, 0

    def _stack(self, parts: Sequence[npt.NDArray[Any]]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(self.device)


def describe_actions(space: gymnasium.Space[Any]) -> dict[str, Any]:
    """How the actions of an agent become those of an environment, in plain values: for :func:`to_space`."""
    if isinstance(space, spaces.Box):
        return {"dtype": np.dtype(space.dtype).name, "low": space.low.tolist(), "high": space.high.tolist()}
    assert isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
    return {"dtype": np.dtype(space.dtype).name, "start": np.asarray(space.start).tolist()}


def to_space(actions: dict[str, Any], action: Tensor) -> npt.NDArray[Any]:
    """Actions as the environment takes them: class numbers from its first one on, numbers within its bounds."""
    array: npt.NDArray[Any] = action.cpu().numpy()
    bounded = "low" in actions
    array = np.clip(array, actions["low"], actions["high"]) if bounded else array + np.asarray(actions["start"])
    return array.astype(actions["dtype"])


def _rows(space: gymnasium.Space[Any], batch: Any, rows: npt.NDArray[np.int64]) -> Any:
    """The observations of some environments, from those that a vector environment puts into its infos."""
    if isinstance(space, spaces.Dict) and isinstance(batch, dict):
        return {key: _rows(sub, batch[key], rows) for key, sub in space.items()}
    if isinstance(space, spaces.Tuple) and isinstance(batch, tuple):
        return tuple(_rows(sub, part, rows) for sub, part in zip(space, batch, strict=True))
    array = np.asarray(batch)
    if array.dtype != object:
        return array[rows]
    return concatenate(space, [array[row] for row in rows], create_empty_array(space, len(rows)))  # type: ignore[arg-type]
