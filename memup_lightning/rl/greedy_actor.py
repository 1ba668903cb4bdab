"""GreedyActor: an agent that takes its most probable actions."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.protocols import Actor, ActorOutput
from memup_lightning.typing import State


class DrawingActor(Actor, Protocol):
    """Actor that draws its actions, or takes the most probable ones."""

    def act(self, inputs: Fields, state: State, is_first: Tensor, greedy: bool = False) -> ActorOutput:
        """Choose the actions: see :class:`~memup_lightning.protocols.Actor`."""


class GreedyActor:
    """Actor that takes an agent's most probable actions.

    Args:
        agent: draws its actions, unless it is asked for the most probable ones.
    """

    def __init__(self, agent: DrawingActor) -> None:
        self.agent = agent
        self.initial_state, self.value = agent.initial_state, agent.value

    def act(self, inputs: Fields, state: State, is_first: Tensor) -> ActorOutput:
        """Choose the actions: see :class:`~memup_lightning.protocols.Actor`."""
        return self.agent.act(inputs, state, is_first, greedy=True)
