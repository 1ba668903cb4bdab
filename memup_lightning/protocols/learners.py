"""Protocols of modules that learn from chunks."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk, ClusterAssignment, StepBatch
from memup_lightning.typing import IntArray, State


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

    @property
    def predicts_classes(self) -> bool:
        """Whether outcomes are classes, whose uncertainty is at least 0."""

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
class WeightKeeper(Protocol):
    """Callback that keeps the weights of the best validation."""

    restored: bool
    """Whether the last run ended with them instead of its last ones."""

    @property
    def best(self) -> tuple[int, float] | None:
        """Updates and gain of the best validation; None before the first one."""


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

    def set_lane_states(self, lanes: IntArray, states: State) -> None:
        """Replace the states of some training lanes (``[rows]``)."""

    def learning_progress(self, lanes: IntArray) -> Tensor:
        """Return the decrease of the loss on the targets within the last training chunk, ``[rows]``; 0 where unknown."""
