"""EnvMemory: a trained memory that follows environments, step by step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import State, put, take
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.modules.ranges.input_range import InputRange
from memup_lightning.modules.ranges.range_watch import RangeWatch
from memup_lightning.rl.collectors.env_driver import check_classes, check_finite
from memup_lightning.rl.memory_inputs import check_fields, check_lags
from memup_lightning.rl.spaces import LeafReader, leaf_readers, space_fields
from memup_lightning.rl.wrappers.frozen import FrozenParts, frozen_parts
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays, BoolArray, FloatArray, IntArray

_QUESTION = "is it in the same unit, and do training episodes come to such places?"


class EnvMemory:
    """Trained memory that follows N environments: at each step it reads what it read in training.

    It warns, once for each component, of observations far from those of training, such as those in another unit.

    Args:
        checkpoint: see :func:`~memup_lightning.rl.wrappers.frozen.frozen_parts`.
        observation_space: of one environment.
        action_space: of one environment.
        num_envs: N; None: one environment, whose observations and actions have no dimension for it.

    Attributes:
        parts: the memory.
        size: of m_t.
        bound: largest magnitude of a component of m_t.

    Raises:
        MemUPError: no such checkpoint, or a memory that was trained on other observations or actions.
    """

    def __init__(
        self,
        checkpoint: str | Path | MemoryTask | FrozenParts,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        num_envs: int | None = None,
    ) -> None:
        self.parts = frozen_parts(checkpoint)
        self.size = int(self.parts.core.output_size)
        self.bound = float(getattr(self.parts.core, "bound", math.inf))
        task = self.parts.task
        given = space_fields("observation", observation_space) | space_fields("action", action_space)
        check_fields(task, given | {"reward": FieldSpec()}, self.parts.path)
        check_lags(task)
        self._fields = task.input_fields
        self._observed = _readers("observation", observation_space, task)
        self._acted = _readers("action", action_space, task)
        observed = {leaf.name: self._fields[leaf.name] for leaf in self._observed}
        self._watch = RangeWatch(InputRange(self.parts.encoder, observed), _QUESTION)
        self._lead = () if num_envs is None else (num_envs,)
        # Inputs of the step: written in place at each step; the tensors share their memory.
        n = num_envs or 1
        self._arrays = {name: np.full((n, *x.shape), x.fill, x.dtype) for name, x in self._fields.items()}
        self._state: State | None = None
        self._share_arrays()

    def _share_arrays(self) -> None:
        self._inputs = {name: torch.from_numpy(x) for name, x in self._arrays.items()}
        self._goes_on = torch.zeros(len(next(iter(self._arrays.values()))), dtype=torch.bool)

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in vars(self).items() if name not in ("_inputs", "_goes_on")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._share_arrays()  # a copied tensor would not follow the copied array

    def begin(self, observation: Any, which: BoolArray | None = None) -> FloatArray:
        """Read the first observation of an episode in all environments, or in some of them.

        Args:
            observation: of all environments.
            which: environments whose episode begins, bool ``[N]``; the others stay as they are.

        Returns:
            m of all environments, ``[N, size]``; of those that ``which`` leaves out it is not to be used.
        """
        if which is None:
            return self.step(observation, None)
        before = self._begun()
        self._observe(observation)
        envs = np.flatnonzero(which)
        self._forget_step(which)
        at = torch.from_numpy(envs)
        begun, state = self._forward(self._rows(at), self.parts.core.initial_state(len(envs)), len(envs))
        with torch.inference_mode():
            self._state = put(before, at, state)
        memory = np.zeros((len(which), self.size), np.float32)
        memory[envs] = begun
        return memory

    def act(self, action: Any, reward: Any) -> None:
        """Take note of the action and its reward in all environments, which the next step reads.

        Raises:
            MemUPError: the environments have not begun, a reward that is not finite.
        """
        self._begun()
        for leaf in self._acted:
            self._arrays[leaf.name][...] = leaf.read(action)
        if "reward" in self._arrays:
            rewards = self._arrays["reward"]
            rewards[...] = reward
            if not math.isfinite(rewards.sum()):
                check_finite({"reward": rewards})

    def step(self, observation: Any, is_first: BoolArray | None) -> FloatArray:
        """Read an observation of all environments.

        Args:
            observation: of all environments.
            is_first: where it begins an episode, bool ``[N]``; None: in all.

        Returns:
            m of all environments, ``[N, size]``.

        Raises:
            MemUPError: an observation of another shape, of numbers that are not finite, of classes that do not exist.
        """
        self._observe(observation)
        n = len(self._goes_on)
        if is_first is None:
            self._forget_step(np.ones(n, np.bool_))
            memory, self._state = self._forward(self._inputs, self.parts.core.initial_state(n), n)
            return memory
        before, first = self._begun(), None
        if is_first.any():
            self._forget_step(is_first)
            first = torch.from_numpy(is_first)
        memory, self._state = self._forward(self._inputs, before, n, first)
        return memory

    def final(self, observation: Any, envs: IntArray) -> FloatArray:
        """Read the last observation of episodes whose environments show the next one already.

        Args:
            observation: of these environments, a batch of ``[len(envs), ...]``.
            envs: their numbers.

        Returns:
            m of these environments, ``[len(envs), size]``; what comes later does not depend on it.
        """
        at = torch.from_numpy(envs)
        arrays = {name: x[envs] for name, x in self._arrays.items()}
        self._read(observation, arrays, (len(envs),))
        with torch.inference_mode():
            state = take(self._begun(), at)
        inputs = {name: torch.from_numpy(x) for name, x in arrays.items()}
        return self._forward(inputs, state, len(envs))[0]

    def _begun(self) -> State:
        """Return the state after the last step.

        Raises:
            MemUPError: there was none.
        """
        if self._state is None:
            raise MemUPError("the environments have not begun; call reset() for all of them before anything else")
        return self._state

    def _observe(self, observation: Any) -> None:
        self._watch.next_step()
        self._read(observation, self._arrays, self._lead)

    def _read(self, observation: Any, arrays: Arrays, lead: tuple[int, ...]) -> None:
        """Write the fields of an observation to ``arrays``."""
        for leaf in self._observed:
            field, array = self._fields[leaf.name], leaf.read(observation)
            if field.entries:
                array = array[..., field.entries]
            if array.shape != (*lead, *field.shape):
                raise MemUPError(
                    f"the environment gave {leaf.name} of shape {list(array.shape)}, but its space is "
                    f"{[*lead, *field.shape]}; correct the environment"
                )
            here = arrays[leaf.name]
            here[...] = array
            if field.type == "token":
                check_classes({leaf.name: here}, self._fields)
            elif leaf.name in self._watch.scales:
                if not self._watch.check(leaf.name, here):
                    check_finite({leaf.name: here})
            elif here.dtype.kind == "f" and not math.isfinite(here.sum()):
                check_finite({leaf.name: here})

    def _forget_step(self, first: BoolArray) -> None:
        """Give action and reward the values that they have before an episode."""
        for name, lag in self.parts.task.inputs.items():
            if lag:
                self._arrays[name][first] = self._fields[name].fill

    def _rows(self, envs: Tensor) -> Fields:
        return {name: x[envs] for name, x in self._inputs.items()}

    def _forward(
        self, inputs: Fields, state: State, lanes: int, is_first: Tensor | None = None
    ) -> tuple[FloatArray, State]:
        with torch.inference_mode():
            if is_first is None:
                is_first = self._goes_on if lanes == len(self._goes_on) else torch.zeros(lanes, dtype=torch.bool)
            # A copy: a core may keep what it read, and the inputs are written again at the next step.
            x = self.parts.encoder(inputs).unsqueeze(1).clone()
            memory, state = self.parts.core(x, state, is_first)
            m: FloatArray = memory.squeeze(1).float().numpy()
        return m, state


def _readers(name: str, space: gymnasium.Space[Any], task: TaskSpec) -> list[LeafReader]:
    return [leaf for leaf in leaf_readers(name, space) if leaf.name in task.inputs]
