"""Protocols: all that the layers know of each other.

Data, modules and callbacks meet in methods of these Protocols, never in attributes that one finds on another. So a
datamodule, a training method or a callback of your own needs no edit of the others: it has the methods.

======================  =====================================  ==============================================
Protocol                who has it                             who asks
======================  =====================================  ==============================================
:class:`ChunkLearner`   modules of memory training             datamodules: what a training chunk must carry
:class:`TargetLearner`  those that learn from later steps      target refresh: scores of steps, clusters
:class:`LaneOwner`      those whose lanes may be sent away     replay: states of lanes
:class:`ChunkSource`    datamodules of recorded episodes       modules and callbacks: episodes and targets
:class:`LaneSchedule`   the training lanes of such data        target refresh, replay
:class:`TargetStore`    the targets of a split of such data    target refresh
:class:`RunData`        every datamodule                       the report of a run
:class:`Actor`          whatever plays environments            collectors of rollouts
:class:`RolloutLearner` agents that learn from rollouts        datamodules of rollouts
:class:`MemoryLearner`  agents whose memory learns too         the datamodule of both
:class:`RolloutSource`  datamodules of rollouts                agents and their callbacks
======================  =====================================  ==============================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk, ClusterAssignment, Fields, StepBatch
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import BoolArray, IntArray, Split
from memup_lightning.typing import State as State


@runtime_checkable
class ChunkLearner(Protocol):
    """Learns from chunks."""

    def needs_targets(self) -> bool:
        """Whether chunks must carry targets: later steps, chosen by their uncertainty."""

    def needs_own_steps(self) -> bool:
        """Whether training chunks must carry context and outcome of their own steps."""


@runtime_checkable
class TargetLearner(ChunkLearner, Protocol):
    """Learns from targets, and scores the steps from which they are chosen."""

    @property
    def device(self) -> torch.device:
        """Where scores are computed."""

    def prepare_clusters(self, num_targets: int) -> None:
        """Get ready for a selector that takes one target of each context cluster.

        Args:
            num_targets: of the selector.

        Raises:
            MemUPError: too few clusters, or an uncertainty that clusters do not have.
        """

    def score(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        """Uncertainty of every step of a chunk ``[lanes, steps]``, and the state for the next chunk; None at first."""

    def has_clusters(self) -> bool:
        """Whether context clusters were found."""

    def fit_clusters(self, steps: StepBatch, seed: int) -> None:
        """Divide contexts into clusters, starting from those found before."""

    def assign_clusters(self, chunk: Chunk) -> ClusterAssignment:
        """The context cluster of every step of a chunk."""

    def count_presence(self, cluster: Tensor, selectable: Tensor) -> None:
        """Count in which blocks of training steps each cluster occurs, both ``[blocks, steps]``."""

    def cluster_summary(self) -> list[dict[str, Any]] | None:
        """A row for each cluster: what the memory explains of it; None without clusters."""


@runtime_checkable
class LaneOwner(Protocol):
    """Owns the memory's state of every training lane."""

    @property
    def device(self) -> torch.device:
        """Where states are."""

    def initial_states(self, lanes: int) -> State:
        """States at the beginning of episodes."""

    def encode_inputs(self, chunk: Chunk) -> Tensor:
        """What the memory reads, ``[lanes, steps, features]``."""

    def advance(self, x: Tensor, state: State, is_first: Tensor) -> State:
        """States after a chunk of encoded inputs."""

    def set_lane_states(self, lanes: Tensor, states: State) -> None:
        """Let some training lanes (int64 ``[rows]``) go on from other states."""

    def learning_progress(self, lanes: Tensor) -> Tensor:
        """How far the loss on the targets fell within the last training chunk, ``[rows]``; 0 where nothing is known."""


class TargetCollection(Protocol):
    """Scores on their way into a store; it changes only at :meth:`finish`."""

    def extend(
        self, uncertainty: Tensor, position: Tensor, selectable: Tensor, clusters: ClusterAssignment | None = None
    ) -> None:
        """Add the next steps of all episodes, each ``[rows, steps]``; unselectable steps never become targets."""

    def finish(self) -> None:
        """Replace the targets of the episodes."""


class TargetStore(Protocol):
    """The targets of every episode of a split, as the last refresh left them."""

    num_refreshes: int
    scored: BoolArray

    def empty(self, episodes: int) -> TargetStore:
        """A store with the same settings, at the same refresh, for other episodes."""

    def collect(self, episodes: IntArray, device: torch.device) -> TargetCollection:
        """Begin to gather the targets of some episodes, side by side."""

    def complete_refresh(self) -> None:
        """What was collected since the refresh before is what chunks get from now on."""

    def select(self, episodes: IntArray, start: IntArray) -> IntArray:
        """Targets of chunks that begin at ``start``, ``[rows, num_targets]``."""

    def take(self, episodes: IntArray) -> tuple[Any, Any]:
        """What was found for some episodes, for :meth:`put` on another rank."""

    def put(self, episodes: IntArray, rows: tuple[Any, Any]) -> None:
        """Take over what another rank has found."""


class LaneSchedule(Protocol):
    """The training lanes of a run: where they are, and what they play next."""

    num_consumed: int
    """Chunks handed out so far."""

    def sample_steps(self, count: int) -> StepBatch:
        """About so many steps of training episodes, drawn as the local predictor's are; other ones after each refresh."""

    def rows(self, episode: IntArray, start: IntArray) -> Chunk:
        """A chunk whose lanes are at the given places."""

    def upcoming_episodes(self, chunks: int) -> IntArray:
        """The training episodes that the lanes of all ranks play during the next chunks."""

    def admitted_episodes(self) -> IntArray:
        """The training episodes that lanes may play now."""

    def own_lanes(self, lanes: IntArray) -> tuple[IntArray, IntArray]:
        """Which of some lanes, numbered among those of all ranks, this rank plays: their rows, and their numbers here."""

    def override_lanes(self, lanes: IntArray, episode: IntArray, start: IntArray) -> None:
        """Send some lanes of all ranks, for the next chunks, to other places than the schedule's, ``[rows]`` each."""

    def release_lanes(self) -> None:
        """Let every lane play what the schedule says."""


@runtime_checkable
class ChunkSource(Protocol):
    """Recorded episodes as chunks, with their targets and the places of the lanes."""

    lanes: int
    chunk_length: int
    chunks_per_epoch: int
    seed: int

    @property
    def task(self) -> TaskSpec:
        """What the data are."""

    def training_lanes(self) -> LaneSchedule:
        """The training lanes, once the data are set up for ``fit``."""

    def num_targets(self) -> int:
        """K."""

    def selects_by_cluster(self) -> bool:
        """Whether no two targets of a chunk are of one context cluster."""

    def has_split(self, split: Split) -> bool:
        """Whether the episodes of a split are there."""

    def awaits_selection(self) -> bool:
        """Whether the run trains, and no targets were selected yet."""

    def lengths(self, split: Split) -> IntArray:
        """Steps of each episode of a split."""

    def read_field(self, split: Split, episode: int, steps: IntArray, name: str) -> Any:
        """A field at some steps of an episode, ``[steps, *shape]``."""

    def read_steps(self, split: Split, episode: int, steps: IntArray) -> StepBatch:
        """Some steps of an episode, ``[1, steps]``."""

    def targets(self, split: Split) -> TargetStore:
        """The targets of a split."""

    def has_eval_mask(self, split: Split) -> bool:
        """Whether the episodes mark the steps at which the memory is evaluated; else it is at every outcome."""

    def eval_mask_at(self, split: Split, episodes: IntArray, positions: IntArray) -> BoolArray:
        """Whether the memory is evaluated at the given steps, ``[rows, K]``."""

    def evaluation_chunks(
        self,
        split: Split,
        episodes: IntArray,
        lanes: int,
        chunk_length: int | None = None,
        contexts: bool = True,
    ) -> Iterable[Chunk]:
        """Chunks of some whole episodes, each played once."""


@runtime_checkable
class RunData(Protocol):
    """What a run's data say of themselves."""

    @property
    def label(self) -> str:
        """What the data are, as results name it."""

    def num_environment_steps(self) -> int | None:
        """Steps that the run learns from, or has played so far; None where that is not known."""


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
    """An agent whose memory learns from chunks in addition to the policy."""

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
