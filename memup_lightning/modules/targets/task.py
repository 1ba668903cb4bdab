"""Base class of memory tasks that learn from selected steps: scores of steps, context clusters and their gains."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk, ClusterAssignment, Fields, StepBatch
from memup_lightning.data.targets.scores import check_scores
from memup_lightning.distributed import all_gather_cat, rank
from memup_lightning.exceptions import MemUPError, check_counts, check_instance, user_code
from memup_lightning.models.context_clusters import ContextClusters
from memup_lightning.models.uncertainty import PredictiveUncertainty, Uncertainty
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.modules.networks.factories import MemoryOptions
from memup_lightning.runs.parts import recorded_data
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import State
from memup_lightning.user_warnings import option, warn_user

_OBSERVATION_INTERVAL = 16  # updates between two observations of gains: consecutive chunks have the same targets
_MAX_GAIN = 4.0  # bits of one observation, at most: a Gaussian that is sure and wrong loses thousands
_OBSERVED_FIELDS = ("outcome", "position", "valid")
_UNCERTAINTY = "an uncertainty takes model, chunk and state, and returns u [lanes, steps] and the next state"
_CACHED_ROWS = 4096  # steps that are assigned to clusters at once


class TargetTask(MemoryTask):
    """Memory task that scores steps by their uncertainty, and divides their contexts into clusters for the selectors that
    take one target of each.

    Args:
        task: specification of the data.
        uncertainty: how steps are scored for selection; by default :class:`PredictiveUncertainty`.
        num_clusters: context clusters; None: four times the selector's targets.
        **parts: memory, outcome, predictor, encoder, context_encoder, local, optimizer, lr_scheduler: see
            :class:`~memup_lightning.modules.memory_task.MemoryTask`.
    """

    clusters: ContextClusters | None
    """Context clusters as of the last refresh; None for a selector that needs none."""

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        uncertainty: Uncertainty | None,
        num_clusters: int | None,
        **parts: Unpack[MemoryOptions],
    ) -> None:
        super().__init__(task, **parts)
        check_counts(1, num_clusters=num_clusters)
        self.num_clusters = num_clusters
        self.clusters = None
        self.uncertainty = PredictiveUncertainty() if uncertainty is None else uncertainty
        check_instance("uncertainty", self.uncertainty, Uncertainty)
        self.uncertainty.attach(self)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = recorded_data(self.trainer)
        if self.num_clusters is not None and data is not None and not data.selects_by_cluster():
            warn_user(
                f"num_clusters={self.num_clusters} has no effect: the selector chooses without context clusters; leave it "
                f"out, or set {option('data.selector', 'Explainable', 'selector=Explainable(num_targets)')}"
            )

    def needs_targets(self) -> bool:
        return True

    def describe_score(self) -> str:
        """Return the name of the score, with its unit."""
        return self.uncertainty.describe(self)

    @property
    def predicts_classes(self) -> bool:
        """Whether outcomes are classes, whose uncertainty is at least 0."""
        return self.outcome.num_classes > 0

    @property
    def uncertainty_unit(self) -> str:
        """Unit of the local predictor's uncertainty, which is that of the standardised outcome."""
        return self.outcome.uncertainty_unit

    def after_update(self) -> None:
        super().after_update()
        self.uncertainty.update(self)

    @torch.no_grad()
    def score(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        """Score every step of a chunk that carries its contexts.

        Args:
            chunk: the next chunk of some episodes.
            state: state from the previous call; None at first.

        Returns:
            u ``[lanes, steps]``, and the estimator's state.
        """
        name = type(self.uncertainty).__name__
        with user_code(f"{name}.forward", _UNCERTAINTY):
            if state is None:
                state = self.uncertainty.initial_state(chunk.lanes)
            made = self.uncertainty(self, chunk, state)
        if not isinstance(made, tuple) or len(made) != 2:
            raise MemUPError(f"{name}.forward returned a {type(made).__name__}; {_UNCERTAINTY}")
        u, state = made
        position = chunk.start[:, None] + torch.arange(chunk.num_steps, device=chunk.start.device)
        return check_scores(f"{name}.forward", u, chunk.has_outcome, chunk.episode, position), state

    def prepare_clusters(self, num_targets: int) -> None:
        """Prepare for a selector that takes one target of each context cluster.

        Args:
            num_targets: of the selector.

        Raises:
            MemUPError: fewer clusters than targets, an uncertainty that contexts alone do not have.
        """
        if not self.uncertainty.from_context:
            raise MemUPError(
                f"uncertainty={type(self.uncertainty).__name__} scores the steps of whole episodes, but context clusters "
                "are weighted by the uncertainty of single contexts; take PredictiveUncertainty, or selector=TopK"
            )
        if self.num_clusters is None:
            self.num_clusters = 4 * num_targets
        if self.num_clusters < num_targets:
            raise MemUPError(
                f"num_clusters={self.num_clusters} are fewer than num_targets={num_targets}: one target at most is of a "
                f"cluster; give a larger {option('model.init_args.num_clusters')}"
            )

    def has_clusters(self) -> bool:
        """Return whether context clusters were found."""
        return self.clusters is not None

    @torch.no_grad()
    def fit_clusters(self, steps: StepBatch, seed: int) -> None:
        """Divide contexts into clusters, starting from those found before.

        Args:
            steps: whose contexts are divided.
            seed: the first clusters follow from it.
        """
        if self.clusters is None:
            assert self.num_clusters is not None
            self.clusters = ContextClusters(self.num_clusters, self.device)
        context = {name: x[steps.valid] for name, x in steps.context.items()}
        features = self.local.features(context)
        self.clusters.fit(features, self.uncertainty.of_contexts(self, context), context, seed)

    @torch.no_grad()
    def assign_clusters(self, chunk: Chunk) -> ClusterAssignment:
        """Return the cluster of every step of a chunk that carries its contexts."""
        assert self.clusters is not None
        rows = {name: x.flatten(0, 1) for name, x in chunk.windows(self.task.window).items()}
        parts = []
        for begin in range(0, chunk.lanes * chunk.num_steps, _CACHED_ROWS):  # a block stays in the processor's cache
            block = {name: x[begin : begin + _CACHED_ROWS] for name, x in rows.items()}
            parts.append(self.clusters(self.local.features(block)))
        return ClusterAssignment(torch.cat(parts).view(chunk.lanes, -1), self.clusters.weights())

    def count_presence(self, cluster: Tensor, selectable: Tensor) -> None:
        """Count in which blocks of training steps each cluster occurs, both ``[blocks, steps]``."""
        assert self.clusters is not None
        self.clusters.count_presence(cluster, selectable)

    def cluster_summary(self) -> list[dict[str, Any]] | None:
        """Return a row for each cluster: see :meth:`~memup_lightning.models.context_clusters.ContextClusters.summary`."""
        return None if self.clusters is None else self.clusters.summary()

    @torch.no_grad()
    def observe_gains(
        self, loss_free: Tensor, chunk: Chunk, steps: tuple[StepBatch, StepBatch], memory: Tensor
    ) -> None:
        """Record of what clusters the targets are, and what the memory explains of targets and probes in episodes that it
        is not trained on; at a few updates only.

        Args:
            loss_free: lanes that the memory is not trained on, bool ``[B]``.
            chunk: the training chunk.
            steps: its targets and probes.
            memory: m of its last step, ``[B, 1, output_size]``.
        """
        clusters = self.clusters
        if clusters is None or chunk.step % _OBSERVATION_INTERVAL:
            return
        targets, probes = steps
        context = {name: torch.cat([x, probes.context[name]], dim=1) for name, x in targets.context.items()}
        outcome, position, valid = (torch.cat([getattr(x, n) for x in steps], dim=1) for n in _OBSERVED_FIELDS)
        cluster = clusters(self.local.features(context))
        clusters.count_targets(cluster[:, : targets.valid.shape[1]], targets.valid)
        gain, compared = self._explained_by_own(
            context, outcome, memory, steps_ahead(chunk, position), chunk.episode.where(loss_free, -1)
        )
        clusters.observe(cluster, gain, valid & lies_ahead(chunk, position) & compared[:, None], chunk.episode)

    def _explained_by_own(
        self, context: Fields, outcome: Tensor, memory: Tensor, distance: Tensor, episode: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute how many bits of outcomes are lost when the memory of an episode is exchanged for that of another.

        Where the memory holds nothing about the outcome the two are equally good on average, whatever the predictor has
        learned of that cluster or memorized. In comparison with the local predictor a cluster that was never a
        target would have a negative gain.

        Args:
            context: of the steps, each field ``[B, K, W, ...]``.
            outcome: ``[B, K, ...]``.
            memory: m of each lane, ``[B, 1, output_size]``.
            distance: steps from the state to each step, ``[B, K]``.
            episode: of each lane, ``[B]``; -1: it is not compared.

        Returns:
            The bits, ``[B, K]``, and whether a lane was compared with another episode's, ``[B]``.
        """
        lanes = len(episode)
        episodes, memories = all_gather_cat(episode), all_gather_cat(memory)
        other = _next_of(episodes >= 0).narrow(0, rank() * lanes, lanes)
        params = self.predictor(self.context_encoder(context), torch.stack([memory, memories[other]]), distance)
        ours, theirs = self.outcome.nll(params, outcome.expand(2, *outcome.shape))
        gain = ((theirs - ours) * BITS_PER_NAT).clamp(-_MAX_GAIN, _MAX_GAIN)
        return gain, (episode >= 0) & (episodes[other] != episode)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.clusters is not None:
            checkpoint["clusters"] = self.clusters.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if "clusters" in checkpoint:
            self.clusters = ContextClusters(0, self.device)
            self.clusters.load_state_dict(checkpoint["clusters"], rank())


def lies_ahead(chunk: Chunk, position: Tensor) -> Tensor:
    """Return which steps ``[B, K]`` the chunk's last state must still explain; earlier outcomes were already read."""
    return position >= _last_step(chunk)


def steps_ahead(chunk: Chunk, position: Tensor) -> Tensor:
    """Return how far ahead of the chunk's last state steps lie, ``[B, K]``; 0 for those behind it, which do not count."""
    return (position - _last_step(chunk)).clamp(min=0)


def _last_step(chunk: Chunk) -> Tensor:
    """Return the number of the chunk's last step in the episode of each lane, ``[B, 1]``."""
    return chunk.start[:, None] + chunk.num_steps - 1


def _next_of(some: Tensor) -> Tensor:
    """Return the number of the next lane of ``some`` (bool ``[lanes]``) after each of them, in a circle."""
    order = (~some).to(torch.int8).argsort(stable=True)
    following = torch.empty_like(order).scatter_(0, order, order.roll(-1))
    return following.where(some[following], order[0])
