"""Protocols: the methods by which the layers use each other.

Data, modules and callbacks call the methods of these Protocols and read no other attributes of each other. So a
datamodule, a training method or a callback of your own needs no change of the others: it has the methods.

======================  =====================================  ==============================================
Protocol                implemented by                         used by
======================  =====================================  ==============================================
:class:`ChunkLearner`   modules of memory training             datamodules: what a training chunk must carry
:class:`TargetLearner`  those that learn from later steps      target refresh: scores of steps, clusters
:class:`LaneOwner`      those whose lanes may be overridden    replay: states of lanes
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

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk, ClusterAssignment, Fields, StepBatch
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, BoolArray, IntArray, Split, State


@runtime_checkable
class ChunkLearner(Protocol):
    """Module that learns from chunks."""

    def needs_targets(self) -> bool:
        """Return whether chunks must carry targets: later steps, chosen by their uncertainty."""

    def needs_own_steps(self) -> bool:
        """Return whether training chunks must carry context and outcome of their own steps."""


@runtime_checkable
class TargetLearner(ChunkLearner, Protocol):
    """Module that learns from targets, and scores the steps from which they are chosen."""

    @property
    def device(self) -> torch.device:
        """Device on which scores are computed."""

    def prepare_clusters(self, num_targets: int) -> None:
        """Prepare for a selector that takes one target of each context cluster.

        Args:
            num_targets: of the selector.

        Raises:
            MemUPError: too few clusters, or an uncertainty that clusters do not have.
        """

    def score(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        """Score every step of a chunk, ``[lanes, steps]``; return the state for the next chunk too (None at first)."""

    def has_clusters(self) -> bool:
        """Return whether context clusters were found."""

    def fit_clusters(self, steps: StepBatch, seed: int) -> None:
        """Divide contexts into clusters, starting from those found before."""

    def assign_clusters(self, chunk: Chunk) -> ClusterAssignment:
        """Return the context cluster of every step of a chunk."""

    def count_presence(self, cluster: Tensor, selectable: Tensor) -> None:
        """Count in which blocks of training steps each cluster occurs, both ``[blocks, steps]``."""

    def cluster_summary(self) -> list[dict[str, Any]] | None:
        """Return a row for each cluster: what the memory explains of it; None without clusters."""


@runtime_checkable
class LaneOwner(Protocol):
    """Module that holds the memory's state of every training lane."""

    @property
    def device(self) -> torch.device:
        """Device of the states."""

    def initial_states(self, lanes: int) -> State:
        """Return the states at the beginning of episodes."""

    def encode_inputs(self, chunk: Chunk) -> Tensor:
        """Encode the memory's inputs, ``[lanes, steps, features]``."""

    def advance(self, x: Tensor, state: State, is_first: Tensor) -> State:
        """Compute the states after a chunk of encoded inputs."""

    def set_lane_states(self, lanes: Tensor, states: State) -> None:
        """Replace the states of some training lanes (int64 ``[rows]``)."""

    def learning_progress(self, lanes: Tensor) -> Tensor:
        """Return the decrease of the loss on the targets within the last training chunk, ``[rows]``; 0 where unknown."""


class TargetCollection(Protocol):
    """Scores that are collected for a store; the store changes only at :meth:`finish`."""

    def extend(
        self, uncertainty: Tensor, position: Tensor, selectable: Tensor, clusters: ClusterAssignment | None = None
    ) -> None:
        """Add the next steps of all episodes, each ``[rows, steps]``; unselectable steps never become targets."""

    def finish(self) -> None:
        """Replace the targets of the episodes."""


class TargetStore(Protocol):
    """Targets of every episode of a split, as of the last refresh."""

    num_refreshes: int
    scored: BoolArray

    def empty(self, episodes: int) -> TargetStore:
        """Return a store with the same settings, at the same refresh, for other episodes."""

    def collect(self, episodes: IntArray, device: torch.device) -> TargetCollection:
        """Begin to collect the targets of some episodes at once."""

    def complete_refresh(self) -> None:
        """Let chunks have the targets that were collected since the previous refresh."""

    def select(self, episodes: IntArray, start: IntArray) -> IntArray:
        """Return the targets of chunks that begin at ``start``, ``[rows, num_targets]``."""

    def take(self, episodes: IntArray) -> tuple[Any, Any]:
        """Return the targets of some episodes, for :meth:`put` on another rank."""

    def put(self, episodes: IntArray, rows: tuple[Any, Any]) -> None:
        """Store targets from another rank."""


class LaneSchedule(Protocol):
    """Training lanes of a run: their positions, and what they play next."""

    num_consumed: int
    """Chunks handed out so far."""

    def sample_steps(self, count: int) -> StepBatch:
        """Draw about ``count`` steps of training episodes, as probes are drawn; other ones after each refresh."""

    def sample_values(self, names: Sequence[str]) -> Arrays:
        """Return some fields at a few thousand steps of all training episodes, each ``[steps, *shape]``, as stored; the
        same at every call and on every rank. Of the outcome only values that exist are returned."""

    def rows(self, episode: IntArray, start: IntArray) -> Chunk:
        """Return a chunk whose lanes are at the given places."""

    def upcoming_episodes(self, chunks: int) -> IntArray:
        """Return the training episodes that the lanes of all ranks play during the next chunks."""

    def admitted_episodes(self) -> IntArray:
        """Return the training episodes that lanes may play now."""

    def own_lanes(self, lanes: IntArray) -> tuple[IntArray, IntArray]:
        """Return which rows of ``lanes`` (numbers over all ranks) this rank plays, and their numbers here."""

    def override_lanes(self, lanes: IntArray, episode: IntArray, start: IntArray) -> None:
        """Move some lanes of all ranks, for the next chunks, to other places than the schedule's, ``[rows]`` each."""

    def release_lanes(self) -> None:
        """Let every lane play what the schedule says."""


@runtime_checkable
class ChunkSource(Protocol):
    """Datamodule of recorded episodes, with their targets and the training lanes."""

    lanes: int
    chunk_length: int
    chunks_per_epoch: int
    seed: int

    @property
    def task(self) -> TaskSpec:
        """Specification of the data."""

    def default_schedule(self) -> bool:
        """Return whether nothing was set of where lanes play, and some of them may play from stored states."""

    def training_lanes(self) -> LaneSchedule:
        """Return the training lanes, once the data are set up for ``fit``."""

    def num_targets(self) -> int:
        """Return K, the number of targets."""

    def selects_by_cluster(self) -> bool:
        """Return whether no two targets of a chunk are of one context cluster."""

    def has_split(self, split: Split) -> bool:
        """Return whether the episodes of a split are set up."""

    def awaits_selection(self) -> bool:
        """Return whether the run trains, and no targets were selected yet."""

    def lengths(self, split: Split) -> IntArray:
        """Return the steps of each episode of a split."""

    def episode_keys(self, split: Split) -> Sequence[str]:
        """Return what the data call each episode of a split; empty where they only number them."""

    def read_field(self, split: Split, episode: int, steps: IntArray, name: str) -> Any:
        """Return a field at some steps of an episode, ``[steps, *shape]``."""

    def steps_at(self, split: Split, episodes: IntArray, positions: IntArray) -> StepBatch:
        """Return some steps of episodes, ``[rows, K]``."""

    def targets(self, split: Split) -> TargetStore:
        """Return the targets of a split."""

    def has_eval_mask(self, split: Split) -> bool:
        """Return whether the episodes mark the steps at which the memory is evaluated; else it is at every outcome."""

    def eval_mask_at(self, split: Split, episodes: IntArray, positions: IntArray) -> BoolArray:
        """Return whether the memory is evaluated at the given steps, ``[rows, K]``."""

    def evaluation_chunks(
        self, split: Split, episodes: IntArray, lanes: int, chunk_length: int | None = None, contexts: bool = True
    ) -> Iterable[Chunk]:
        """Return the chunks of some whole episodes, each played once."""


@runtime_checkable
class RunData(Protocol):
    """Datamodule that names its data and counts their steps."""

    @property
    def label(self) -> str:
        """Name of the data in results."""

    def num_environment_steps(self) -> int | None:
        """Return the steps that the run learns from, or has played so far; None where that is not known."""


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
        """Make the rows of a :class:`~memup_lightning.rl.rollout.Rollout` from which minibatches are drawn.

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
