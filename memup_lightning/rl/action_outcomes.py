"""Actions as outcomes: what the recorded agent does is what the memory must explain, and the predictor is a policy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from torch import Tensor

from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.spaces import space_fields
from memup_lightning.specs import AND, FieldSpec, TaskSpec
from memup_lightning.typing import IntArray

_MOST = 10_000  # combinations of the entries of an action


def action_outcome(space: gymnasium.Space[Any], origin: str) -> FieldSpec:
    """Return the outcome field of the actions of a space.

    Args:
        space: of one action.
        origin: name of the environment or data set, for messages.

    Returns:
        Numbers (Box), a class (Discrete), or a class for each combination of entries (MultiDiscrete, MultiBinary), named
        like the classes that join columns of a table: the entries of an action need not be independent of each other.

    Raises:
        MemUPError: a space of several parts, or with more than 10,000 combinations.
    """
    fields = space_fields("action", space)
    if "action" not in fields:
        raise MemUPError(
            f"outcome='action' needs one action, but {origin} has {', '.join(fields)}; flatten the action space by a "
            "wrapper"
        )
    action = fields["action"]
    entries = range(math.prod(action.shape))
    if isinstance(space, spaces.MultiBinary):
        action = FieldSpec(action.shape, "int8", "token", 2)
    if action.type != "token":
        return FieldSpec(action.shape)
    sizes = _sizes(action)
    if (count := math.prod(sizes)) > _MOST:
        raise MemUPError(
            f"the {len(sizes)} entries of an action of {origin} have {count:,} combinations, and outcome='action' learns "
            f"{_MOST:,} at most; leave out entries by a wrapper"
        )
    rows = itertools.product(*map(range, sizes)) if len(sizes) > 1 else ()
    names = [AND.join(f"action[{entry}]={value}" for entry, value in zip(entries, row, strict=True)) for row in rows]
    return FieldSpec((), "int32", "token", count, tuple(names))


def predicts_actions(task: TaskSpec) -> bool:
    """Return whether the outcome of a task is the action: it is no part of the local context then."""
    action = task.fields.get("action")
    if action is None or "action" in task.context or action.type == "image":
        return False
    if task.outcome.type == "vector":
        return action.type == "vector" and action.shape == task.outcome.shape
    return math.prod(_sizes(action)) == task.outcome.classes


def outcomes_of(actions: npt.NDArray[Any], action: FieldSpec, outcome: FieldSpec) -> npt.NDArray[Any]:
    """Return recorded actions as outcomes.

    Args:
        actions: ``[rows, *shape]``, classes counted from 0 on.
        action: their field.
        outcome: field of :func:`action_outcome`.

    Returns:
        ``[rows, ...]``.
    """
    if outcome.type == "vector":
        return actions.astype(np.float32)
    entries = actions.reshape(len(actions), -1).T.astype(np.int64)
    classes: IntArray = np.asarray(np.ravel_multi_index(tuple(entries), _sizes(action)))
    return classes.astype(np.int32)


def actions_of(outcomes: Tensor, action: FieldSpec) -> Tensor:
    """Return outcomes ``[rows, ...]`` as actions in the layout of their field, ``[rows, *shape]``."""
    if outcomes.is_floating_point() or not action.shape:
        return outcomes
    entries = torch.unravel_index(outcomes.long(), _sizes(action))
    return torch.stack(entries, -1).view(-1, *action.shape)


def _sizes(action: FieldSpec) -> tuple[int, ...]:
    """Return the number of classes of each entry of an action; of one that is no token, as of MultiBinary."""
    return action.sizes or (action.classes or 2,) * math.prod(action.shape)
