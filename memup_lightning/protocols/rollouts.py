"""Protocols of agents, and of what plays with them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.typing import State


class ActorOutput(NamedTuple):
    """Output of an actor for one step of N environments.

    Attributes:
        action: ``[N, ...]``; class numbers, or numbers that are clipped to the action space.
        record: tensors of the step that learning needs, each ``[N, ...]``; among them ``value``.
        state: the actor's state after the step.
    """

    action: Tensor
    record: dict[str, Tensor]
    state: State


class Actor(Protocol):
    """Policy that acts in N environments at once. Its weights may change between two steps."""

    def initial_state(self, envs: int) -> State:
        """Return the state at the beginning of an episode."""

    def act(self, inputs: Fields, state: State, is_first: Tensor) -> ActorOutput:
        """Choose the actions.

        Args:
            inputs: inputs of a memory at this step, each field ``[N, ...]``.
            state: state before the step.
            is_first: environments whose episode begins: their state is reset first, bool ``[N]``.
        """

    def value(self, inputs: Fields, state: State, is_first: Tensor) -> Tensor:
        """Return the expected return from this step on, ``[N]``; the arguments are those of :meth:`act`."""


@runtime_checkable
class RolloutLearner(Actor, Protocol):
    """Agent that learns from the rollouts that it plays; a datamodule of rollouts uses these methods."""

    def greedy_actor(self) -> Actor:
        """Return the same agent, taking its most probable actions."""

    def make_batches(self, rollout: Any) -> dict[str, Any]:
        """Make the rows of a :class:`~memup_lightning.rl.rollouts.rollout.Rollout` from which minibatches are drawn.

        The row dimension comes first in every tensor, and ``valid`` marks the rows or steps that count.
        """


@runtime_checkable
class MemoryLearner(RolloutLearner, Protocol):
    """Agent whose memory learns from chunks in addition to the policy."""

    def memory_task(self) -> Any:
        """Return the :class:`~memup_lightning.modules.MemUP` that scores steps and learns from chunks."""


@runtime_checkable
class RolloutSource(Protocol):
    """Datamodule that plays the episodes to learn from; an agent and its callbacks use these methods."""

    def training_progress(self) -> dict[str, float]:
        """Return the environment steps taken so far, and means over the last training episodes."""

    def play_episode(self, actor: Actor) -> float:
        """Play one episode in an environment of its own, and return the sum of its rewards."""
