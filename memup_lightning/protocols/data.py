"""Protocols of the data of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk, ClusterAssignment, StepBatch
from memup_lightning.protocols.columns import InputColumns
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, BoolArray, IntArray, Split


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

    def collect(self, episodes: IntArray, device: torch.device, of_classes: bool = False) -> TargetCollection:
        """Begin to collect the targets of some episodes at once."""

    def complete_refresh(self) -> None:
        """Let chunks have the targets that were collected since the previous refresh."""

    def selects_nothing(self) -> bool:
        """Return whether targets were asked for, and none was selected in any scored episode."""

    def select(self, episodes: IntArray, start: IntArray) -> IntArray:
        """Return the targets of chunks that begin at ``start``, ``[rows, num_targets]``."""

    def take(self, episodes: IntArray) -> tuple[Any, Any]:
        """Return the targets of some episodes, for :meth:`put` on another rank."""

    def put(self, episodes: IntArray, rows: tuple[Any, Any]) -> None:
        """Store targets from another rank."""


class EpisodeSplit(Protocol):
    """Recorded episodes of a split, with their targets."""

    task: TaskSpec
    lengths: IntArray
    """Steps of each episode."""
    keys: Sequence[str]
    """What the data call each episode; empty where they only number them."""
    key_name: str
    """What the data call the keys."""
    has_eval_mask: bool
    """Whether the episodes mark the steps at which the memory is evaluated; else it is at every outcome."""

    @property
    def targets(self) -> TargetStore:
        """Targets of every episode."""

    def row_numbers(self, episodes: IntArray, steps: IntArray) -> IntArray | None:
        """Return the rows of the user's file that some steps are, ``[rows]``; None where there is no such file."""

    def read_field(self, episode: int, steps: IntArray, name: str) -> Any:
        """Return a field at some steps of an episode, ``[steps, *shape]``."""

    def steps_at(self, episodes: IntArray, positions: IntArray) -> StepBatch:
        """Return some steps of episodes, ``[rows, K]``."""

    def eval_mask_at(self, episodes: IntArray, positions: IntArray) -> BoolArray:
        """Return whether the memory is evaluated at the given steps, ``[rows, K]``."""

    def chunks(
        self, episodes: IntArray, lanes: int, chunk_length: int | None = None, contexts: bool = True
    ) -> Iterable[Chunk]:
        """Return the chunks of some whole episodes, each played once."""


class LaneSchedule(Protocol):
    """Training lanes of a run: their positions, and what they play next."""

    lanes: int
    """B, of all ranks together."""
    chunk_length: int
    seed: int
    num_consumed: int
    """Chunks handed out so far."""

    def sample_steps(self, count: int) -> StepBatch:
        """Draw about ``count`` steps of training episodes, as probes are drawn; other ones after each refresh."""

    def sample_values(self, names: Sequence[str], ends: bool = True) -> Arrays:
        """Return some fields at a few thousand steps of all training episodes, each ``[steps, *shape]``, as stored; the
        same at every call and on every rank. Of the outcome only values that exist are returned. With ``ends`` more of the
        steps are near the ends of episodes, else all are equally likely."""

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

    evaluation_lanes: int
    evaluation_chunk_length: int
    seed: int
    equal_outcomes: str | None
    """What is wrong with the outcomes of the training episodes, where they are all equal."""

    @property
    def task(self) -> TaskSpec:
        """Specification of the data."""

    @property
    def chunk_length(self) -> int:
        """Steps of a training chunk."""

    @property
    def lanes(self) -> int:
        """Episodes that are played at once, on all ranks together."""

    @property
    def table_columns(self) -> tuple[str, ...]:
        """Columns of a table that the memory reads; empty where it reads something else."""

    @property
    def input_columns(self) -> InputColumns | None:
        """Inputs that can be left out, once the data are set up for ``fit``; None where their user cannot leave out any."""

    @property
    def reading(self) -> Mapping[str, Any] | None:
        """How the training data are read, in plain values; None of data that are no arrays or tables of the user."""

    def default_schedule(self) -> bool:
        """Return whether nothing was set of where lanes play, and some of them may play from stored states."""

    def training_lanes(self) -> LaneSchedule:
        """Return the training lanes, once the data are set up for ``fit``."""

    def num_targets(self) -> int:
        """Return K, the number of targets."""

    def selects_by_cluster(self) -> bool:
        """Return whether no two targets of a chunk are of one context cluster."""

    @property
    def splits(self) -> Mapping[Split, EpisodeSplit]:
        """The splits that are set up."""

    def predicted_split(self) -> Split:
        """Return the split whose episodes ``predict`` predicts."""

    def awaits_selection(self) -> bool:
        """Return whether the run trains, and no targets were selected yet."""


@runtime_checkable
class RunData(Protocol):
    """Datamodule that names its data, describes them and counts their steps."""

    steps_name: str
    """What :meth:`num_environment_steps` counts."""

    @property
    def label(self) -> str:
        """Name of the data in results."""

    def describe(self) -> dict[str, str]:
        """Return what a run on the data says about them before it begins: name of a row, text."""

    def num_environment_steps(self) -> int | None:
        """Return the steps that the run learns from, or has played so far; None where that is not known."""
