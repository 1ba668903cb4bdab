"""Collection of rollouts: an actor plays a vector environment, episode after episode.

The actor's inputs at a step are those of a memory at that step of a recorded episode. So a memory that was trained on
chunks runs here, one step at a time, with the same states.

Letters: T steps, N environments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor
from tqdm import tqdm

from memup_lightning.chunk import Fields
from memup_lightning.models.memory import State, take
from memup_lightning.protocols import Actor
from memup_lightning.rl.collectors.env_driver import (
    EnvDriver,
    EnvStep,
    check_classes,
    check_finite,
    episode_quota,
    require_final,
)
from memup_lightning.rl.memory_inputs import MemoryInputs, describe_actions, no_action, to_space
from memup_lightning.rl.rollouts.rollout import EpisodeResult, Rollout
from memup_lightning.rl.spaces import space_leaves, take_envs
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, BoolArray, IntArray

_BLOCK_STEPS = 32  # steps whose records are stacked at once
_PROGRESS_DELAY = 2.0  # seconds after which a progress bar appears


class _Step(NamedTuple):
    """One step of all environments.

    Attributes:
        record: what the actor recorded, each ``[N, ...]``.
        is_first: where the step begins an episode, bool ``[N]``.
        env: what the environments returned; without its observations.
        cut_envs: environments that were truncated and auto-reset in this step.
        cut_values: the value of the next observation of the episode that was cut off, for each of ``cut_envs``.
    """

    record: dict[str, Tensor]
    is_first: Tensor
    env: EnvStep
    cut_envs: IntArray
    cut_values: Tensor


class RolloutCollector:
    """Collector that plays a vector environment; episodes continue from one rollout to the next.

    Every autoreset mode of Gymnasium is followed. Under ``NEXT_STEP`` the call after the end of an episode takes no action;
    it is marked as not valid, and no loss is computed on it; the last observation is read like any other, so the value of
    a truncated episode is that of its next observation. Under ``SAME_STEP`` and ``DISABLED`` that value is computed at
    once.

    Args:
        env: closed by the caller.
        task: inputs of the actor.
        seed: of the environments.
        device: where the actor computes.
        timeout: seconds to wait for a step of environments in processes of their own.

    Attributes:
        finished: results of the episodes that have ended since :meth:`take_finished` was called. It holds none that the
            environment declares ``discarded`` (Two-Colors, when its engine died).
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        task: TaskSpec,
        seed: int,
        device: torch.device | str = "cpu",
        timeout: float = 300.0,
    ) -> None:
        self.env = env
        self.driver = EnvDriver(env, timeout)
        self.device = torch.device(device)
        self.inputs = MemoryInputs(task)
        self.finished: list[EpisodeResult] = []
        self._actions = describe_actions(env.single_action_space)
        n = env.num_envs
        self._observation = self._select(self.driver.reset(seed)[0])
        self._action = no_action(task.fields["action"], n).to(self.device)
        self._reward = torch.zeros(n, device=self.device)
        self._is_first = torch.ones(n, dtype=torch.bool, device=self.device)
        self._returns, self._lengths = np.zeros(n), np.zeros(n, np.int64)
        self._state: State | None = None

    def collect(self, actor: Actor, num_steps: int) -> Rollout:
        """Play some steps of every environment.

        Args:
            actor: plays; it gets the state that it returned at the end of the last rollout.
            num_steps: T.

        Raises:
            MemUPError: an observation or reward that is not finite, an environment that died or gives no last observation.
        """
        state = self._state_of(actor)
        steps, record = list[_Step](), dict[str, Tensor]()
        for start in range(0, num_steps, _BLOCK_STEPS):
            block = [self._step(actor) for _ in range(start, min(start + _BLOCK_STEPS, num_steps))]
            for name, x in block[0].record.items():
                if not start:
                    record[name] = x.new_empty((num_steps, *x.shape))
                torch.stack([step.record[name] for step in block], out=record[name][start : start + len(block)])
            steps += [step._replace(record={}) for step in block]
        value = record["value"]
        next_value = torch.cat([value[1:], actor.value(self._read(), self._state_of(actor), self._is_first)[None]])
        for t, step in enumerate(steps):
            if len(step.cut_envs):
                next_value[t, torch.from_numpy(step.cut_envs).to(self.device)] = step.cut_values
        return Rollout(
            record=record,
            is_first=torch.stack([step.is_first for step in steps]),
            valid=self._stack([step.env.valid for step in steps]),
            reward=self._stack([step.env.reward for step in steps]),
            terminated=self._stack([step.env.terminated for step in steps]),
            truncated=self._stack([step.env.truncated for step in steps]),
            next_value=next_value,
            state=state,
        )

    def episodes(self, actor: Actor, num_episodes: int) -> Iterator[EpisodeResult]:
        """Play whole episodes; the environments must not have been played before.

        Each environment contributes its first episodes
        (:func:`~memup_lightning.rl.collectors.env_driver.episode_quota`). A progress bar appears on a terminal after two
        seconds.

        Yields:
            The result of each episode when it ends.
        """
        quota = episode_quota(self.env.num_envs, num_episodes)
        with tqdm(total=num_episodes, desc="episodes", delay=_PROGRESS_DELAY, leave=False, disable=None) as bar:
            while quota.any():
                self._step(actor)
                bar.update(0)  # draws it while all episodes are still being played
                for result in self.take_finished():
                    if quota[result.env]:
                        quota[result.env] -= 1
                        bar.update()
                        yield result

    def take_finished(self) -> list[EpisodeResult]:
        """Return the results of the episodes that have ended since the last call."""
        finished, self.finished = self.finished, []
        return finished

    def _state_of(self, actor: Actor) -> State:
        if self._state is None:
            self._state = actor.initial_state(self.env.num_envs)
        return self._state

    def _select(self, observation: Any, step_index: IntArray | None = None, envs: IntArray | None = None) -> Arrays:
        """Return the observation fields that the actor reads; refused where they are not finite or no class."""
        selected = self.inputs.select(space_leaves("observation", self.env.single_observation_space, observation))
        step_index = self.driver.step_index if step_index is None else step_index
        check_finite(selected, step_index, envs)
        check_classes(selected, self.inputs.fields, step_index, envs)
        return selected

    def _read(self) -> Fields:
        return self.inputs(self._observation, self._action, self._reward, self._is_first)

    def _step(self, actor: Actor) -> _Step:
        is_first = self._is_first
        action, record, self._state = actor.act(self._read(), self._state_of(actor), is_first)
        before = self.driver.step_index
        step = self.driver.step(to_space(self._actions, action))
        self._action, self._reward = action, torch.from_numpy(step.reward).to(self.device)
        over = step.terminated | step.truncated
        self._count(step, over)
        cut_envs, cut_values = np.zeros(0, np.int64), self._reward[:0]
        if self.driver.mode != AutoresetMode.NEXT_STEP and over.any():
            final = require_final(step.final_observation)
            cut_envs = np.flatnonzero(step.truncated & ~step.terminated)
            if len(cut_envs):
                cut_values = self._value_of(actor, final, cut_envs, before[cut_envs] + 1)
        self._observation = self._select(step.observation)
        self._is_first = torch.from_numpy(step.is_first.copy()).to(self.device)
        return _Step(record, is_first, step._replace(observation=None, final_observation=None), cut_envs, cut_values)

    def _value_of(self, actor: Actor, final: Any, envs: IntArray, step_index: IntArray) -> Tensor:
        """Return the value of the last observation of some environments, whose next episode has begun."""
        batch = take_envs(self.env.single_observation_space, final, envs)
        at = torch.from_numpy(envs).to(self.device)
        is_first = torch.zeros(len(envs), dtype=torch.bool, device=self.device)
        inputs = self.inputs(self._select(batch, step_index, envs), self._action[at], self._reward[at], is_first)
        return actor.value(inputs, take(self._state_of(actor), at), is_first)

    def _count(self, step: EnvStep, over: BoolArray) -> None:
        self._returns += np.where(step.valid, step.reward, 0)
        self._lengths += step.valid
        for env in np.flatnonzero(over & step.valid).tolist() if over.any() else ():
            if not step.discarded[env]:
                self.finished.append(EpisodeResult(env, float(self._returns[env]), int(self._lengths[env])))
            self._returns[env], self._lengths[env] = 0.0, 0

    def _stack(self, arrays: Sequence[npt.NDArray[Any]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device)
