"""The Protocols by which layers know each other."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from memup_lightning.chunk import Fields

State: TypeAlias = "Tensor | tuple[State, ...]"
"""State of all lanes: a tensor or a (nested) tuple of tensors, the lane dimension first in each."""


class ActorOutput(NamedTuple):
    """What an actor returns for one step of N environments.

    Attributes:
        action: ``[N, ...]``; class numbers, or numbers that are clipped to the action space.
        record: what is kept of the step for learning, each ``[N, ...]``; ``value`` is among it.
        state: the actor's state after the step.
    """

    action: Tensor
    record: dict[str, Tensor]
    state: State


class Actor(Protocol):
    """Plays N environments side by side. Its weights may change between two steps."""

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
        """The expected return from this step on, ``[N]``; the arguments are those of :meth:`act`."""
        ...


@runtime_checkable
class RolloutLearner(Actor, Protocol):
    """An agent that learns from the rollouts that it plays: what a datamodule of rollouts knows of the model."""

    def greedy_actor(self) -> Actor:
        """The same agent, taking its most probable actions."""
        ...

    def make_batches(self, rollout: Any) -> dict[str, Any]:
        """The rows of a :class:`~memup_lightning.rl.rollouts.Rollout` from which minibatches are drawn; the row dimension
        comes first in every tensor, and ``valid`` says which rows or steps count."""
        ...


@runtime_checkable
class MemoryLearner(RolloutLearner, Protocol):
    """An agent whose memory learns from chunks beside the policy."""

    def memory_task(self) -> Any:
        """The :class:`~memup_lightning.modules.MemUP` that scores steps and learns from chunks."""
        ...


@runtime_checkable
class RolloutSource(Protocol):
    """A datamodule that plays the episodes to learn from: what an agent and its callbacks know of the data."""

    def training_progress(self) -> dict[str, float]:
        """Environment steps taken so far, and means over the last training episodes."""
        ...

    def play_episode(self, actor: Actor) -> float:
        """Play one episode in an environment of its own, and return the sum of its rewards."""
        ...
