"""Inputs of a memory at one step of an environment, and actions as an environment takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.models.memory.base import needs_reset
from memup_lightning.rl.spaces import Leaves, space_starts
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays


class MemoryInputs:
    """Inputs of a memory at a step of N environments, in the layout of recorded episodes.

    They are the observation, the previous action and the previous reward; at the first step of an episode action and
    reward have their fields' fill value.

    Args:
        task: its inputs: ``observation...`` of the same step, ``action`` and ``reward`` of the previous one.

    Raises:
        MemUPError: inputs that an environment does not give at that step.
    """

    def __init__(self, task: TaskSpec) -> None:
        check_lags(task)
        self.fields = task.input_fields

    def select(self, observation: Leaves) -> Arrays:
        """Return the observation fields that the memory reads, in their dtype, each ``[N, ...]``.

        Args:
            observation: as :func:`~memup_lightning.rl.spaces.space_leaves` returns it.
        """
        selected: Arrays = {}
        for name, field in self.fields.items():
            if name not in ("action", "reward"):
                array = observation[name][:, field.entries] if field.entries else observation[name]
                selected[name] = np.ascontiguousarray(array, dtype=field.dtype)
        return selected

    def __call__(self, observation: Arrays, action: Tensor, reward: Tensor, is_first: Tensor) -> Fields:
        """Return all inputs, each ``[N, ...]``.

        Args:
            observation: as :meth:`select` returns it.
            action: previous action, ``[N, ...]``; ignored where the episode begins.
            reward: reward of the previous action, ``[N]``; ignored where the episode begins.
            is_first: where the episode begins, bool ``[N]``.
        """
        inputs: Fields = {}
        begins = needs_reset(is_first)
        for name, field in self.fields.items():
            if name in observation:
                inputs[name] = torch.from_numpy(observation[name]).to(is_first.device)
            else:
                previous = (action if name == "action" else reward).to(getattr(torch, field.dtype))
                inputs[name] = _filled(previous, field, is_first) if begins else previous
        return inputs


def check_lags(task: TaskSpec) -> None:
    """Refuse inputs that an environment does not give at that step.

    Raises:
        MemUPError: naming the first.
    """
    for name, lag in task.inputs.items():
        if lag != (0 if name.partition(".")[0] == "observation" else 1):
            raise MemUPError(
                f"the input {name!r} is read with a lag of {counted(lag, 'step')}; an agent reads the observation of "
                "the same step, and action and reward of the previous one"
            )


def describe_inputs(task: TaskSpec) -> str:
    """Return what a memory reads, in the words of messages."""

    def describe(name: str) -> str:
        field = task.fields[name]
        if field.type == "token":
            return str(field).removeprefix("one of ")
        return f"{field.type} {list(field.shape)}" + f" of entries {list(field.entries)}" * bool(field.entries)

    return ", ".join(f"{name} ({describe(name)}, lag {lag})" for name, lag in sorted(task.inputs.items()))


def check_fields(task: TaskSpec, given: Mapping[str, FieldSpec], path: Path | None = None) -> None:
    """Refuse an environment whose fields are not those that the memory was trained on.

    Raises:
        MemUPError: naming both.
    """

    def same(name: str) -> bool:
        trained, found = task.fields[name], given.get(name)
        if found is None or trained.type != found.type or trained.classes != found.classes:
            return False
        if trained.entries:
            return len(found.shape) == 1 and max(trained.entries) < found.shape[0]
        return trained.shape == found.shape

    differing = [name for name in task.inputs if not same(name)]
    if differing:
        shown = TaskSpec(given, dict.fromkeys(given, 0), tuple(given))
        run = path and (path.parent.parent if path.parent.name == "checkpoints" else path)
        raise MemUPError(
            f"the memory{f' of {run}' if run else ''} was trained on {describe_inputs(task)}, and this environment gives "
            f"{describe_inputs(shown).replace(', lag 0', '')}, which differs in {', '.join(differing)}; "
            f"{'give the folder of another run, or ' if run else ''}wrap the environment that the memory was trained on, "
            "before any wrapper that changes observations, actions or rewards"
        )


def _filled(x: Tensor, field: FieldSpec, is_first: Tensor) -> Tensor:
    return x.masked_fill(is_first.view(-1, *[1] * (x.dim() - 1)), field.fill)


def no_action(field: FieldSpec, envs: int) -> Tensor:
    """Return the previous action at the first step of an episode, ``[envs, ...]``."""
    return torch.full((envs, *field.shape), field.fill, dtype=getattr(torch, field.dtype))


def describe_actions(space: gymnasium.Space[Any]) -> dict[str, Any]:
    """Return how an agent's actions become those of an action space, in plain values: for :func:`to_space`."""
    if isinstance(space, spaces.Box):
        return {"dtype": np.dtype(space.dtype).name, "low": space.low.tolist(), "high": space.high.tolist()}
    return {"dtype": np.dtype(space.dtype).name, "start": space_starts("action", space).get("action", 0)}


def to_space(actions: dict[str, Any], action: Tensor) -> npt.NDArray[Any]:
    """Convert actions to those of the space: class numbers from its first one on, numbers within its bounds."""
    array: npt.NDArray[Any] = action.cpu().numpy()
    bounded = "low" in actions
    array = np.clip(array, actions["low"], actions["high"]) if bounded else array + np.asarray(actions["start"])
    return array.astype(actions["dtype"])
