"""Task of an environment: the same for recorded episodes and for those that an agent plays."""

from __future__ import annotations

from typing import Any

import gymnasium

from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.action_outcomes import action_outcome
from memup_lightning.rl.spaces import space_fields
from memup_lightning.specs import FieldSpec, TaskSpec


def agent_task(
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    origin: str,
    observed: list[int] | None = None,
    window: int = 1,
    tolerance: float = 0.25,
    predicts_actions: bool = False,
) -> TaskSpec:
    """Make the task of an environment.

    The memory reads the observation, the previous action and the previous reward. The local context is the observation
    and the action taken; where that is the outcome, the observation alone.

    Args:
        observation_space: of one environment.
        action_space: of one environment.
        origin: name of the environment or data set, for messages.
        observed: entries of a flat Box observation that are read; None: all.
        window: steps of the local context.
        tolerance: a predicted outcome counts as right within this distance, in spreads of the outcome.
        predicts_actions: whether the outcome is the action, and not made of rewards.

    Raises:
        MemUPError: a space without a fixed shape, entries that do not exist, actions that are no outcome.
    """
    observation, action = space_fields("observation", observation_space), space_fields("action", action_space)
    if observed is not None:
        observation = {"observation": _mask_field(observation, observed, origin)}
    return TaskSpec(
        fields={**observation, **action, "reward": FieldSpec()},
        inputs={**dict.fromkeys(observation, 0), **dict.fromkeys(action, 1), "reward": 1},
        context=tuple(observation) if predicts_actions else (*observation, *action),
        outcome=action_outcome(action_space, origin) if predicts_actions else FieldSpec(),
        window=window,
        tolerance=tolerance,
    )


def _mask_field(observation: dict[str, FieldSpec], observed: list[int], origin: str) -> FieldSpec:
    field = observation.get("observation")
    if field is None or len(field.shape) != 1:
        raise MemUPError(f"observed={observed} needs a flat Box observation, but {origin} has {observation}")
    wrong = [entry for entry in observed if not 0 <= entry < field.shape[0]]
    if wrong or not observed:
        raise MemUPError(f"observed={observed}: choose among the entries 0 to {field.shape[0] - 1}")
    sizes = tuple(field.sizes[entry] for entry in observed) if field.sizes else ()
    return FieldSpec((len(observed),), field.dtype, field.type, field.classes, entries=tuple(observed), sizes=sizes)
