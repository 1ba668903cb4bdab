"""MemUP: the memory learns to explain the few outcomes that are uncertain without it."""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor

from memup_lightning.chunk import Chunk, ClusterAssignment, Fields, StepBatch
from memup_lightning.distributed import all_gather_cat, global_masked_mean, rank
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.context_clusters import ContextClusters
from memup_lightning.models.regularizers import drift
from memup_lightning.models.uncertainty import PredictiveUncertainty, Uncertainty
from memup_lightning.modules.evaluation import BITS_PER_NAT
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.modules.target_refresh import TargetRefresh
from memup_lightning.protocols import ChunkSource
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import State

_OBSERVATION_INTERVAL = 16  # updates between two observations of gains: consecutive chunks have the same targets
_MAX_GAIN = 4.0  # bits of one observation, at most: a Gaussian that is sure and wrong loses thousands
_OBSERVED_FIELDS = ("outcome", "position", "valid")
_MIN_SIZE = 1e-6  # of a memory that holds nothing
_CACHED_ROWS = 4096  # steps that are assigned to clusters at once


class MemUP(MemoryTask):
    """Memory trained by uncertain outcomes (Sorokin et al., "Explain My Surprise", NeurIPS 2022).

    For every prediction point t of a chunk and every selected target k >= t, predictor and memory minimise
    ``-log q_phi(y_k | c_k, m_t)`` (their equation 3 and algorithm 1). The target's context and outcome come with the
    chunk, so gradients cross the chunk alone, however far k lies. The local predictor learns beside it, on steps drawn
    from the episodes; the two share no parameters.

    Args:
        task: what the data are; the command line takes it from the datamodule.
        predict_every: distance of the prediction points in a chunk, counted back from its last step. 1: every state of
            the chunk must explain the targets; r: only the last one.
        current_step: whether every state must explain the outcome of its own step too: the ``{t}`` of the loss.
        uncertainty: how steps are scored for selection.
        num_clusters: context clusters, for a selector that takes one target of each (``Explainable``); by default four
            times its targets.
        drift_weight: weight of the drift regularizer, a loss in addition to the others; 0: none. ``{2000: 5.0}``: none at
            first, and 5 once 2,000 chunks were learned from, since a regularized memory is slower to learn what to write.
            Drift is how far m moves with a step at which nothing rare comes
            (:func:`~memup_lightning.models.regularizers.drift`), as a share of the size of m. The gradient of a chunk sees
            what its own steps do to the outcomes, not what a thousand like them add up to. A variant of temporal activation
            regularization (Merity, McCann & Socher, "Revisiting activation regularization for language RNNs", 2017), which
            squares the moves and counts all steps alike.
        **parts: memory, outcome, predictor, encoder, context_encoder, local, optimizer, lr_scheduler: see
            :class:`~memup_lightning.modules.memory_task.MemoryTask`.

    Raises:
        MemUPError: a number below its least; an outcome or a memory that does not fit.
    """

    clusters: ContextClusters | None
    """Clusters of context, as the last refresh of a selector that asks for them found them."""
    _target_losses: tuple[Tensor, Tensor]
    """Loss of every lane, prediction point and target of the last training chunk, and which of them count."""

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        predict_every: int = 1,
        current_step: bool = False,
        uncertainty: Uncertainty | None = None,
        num_clusters: int | None = None,
        drift_weight: float | dict[int, float] = 0.0,
        **parts: Any,
    ) -> None:
        super().__init__(task, **parts)
        if predict_every < 1:
            raise MemUPError(f"predict_every={predict_every}: must be at least 1")
        if num_clusters is not None and num_clusters < 1:
            raise MemUPError(f"num_clusters={num_clusters}: must be at least 1")
        self._drift_weights = drift_weight if isinstance(drift_weight, dict) else {0: drift_weight}
        if any(n < 0 or not 0 <= weight < math.inf for n, weight in self._drift_weights.items()):
            raise MemUPError(
                f"drift_weight={drift_weight}: must be a finite number, at least 0, or such numbers by the update from "
                "which on they hold, such as {2000: 5.0}"
            )
        self.predict_every = predict_every
        self.current_step = current_step
        self.num_clusters = num_clusters
        self.clusters = None
        self.uncertainty = uncertainty or PredictiveUncertainty()
        self.uncertainty.attach(self)

    def needs_targets(self) -> bool:
        return True

    def needs_own_steps(self) -> bool:
        return self.current_step

    def configure_callbacks(self) -> list[Callback]:
        """A TargetRefresh, where the trainer has none: without targets nothing is learned."""
        given = any(isinstance(callback, TargetRefresh) for callback in self.trainer.callbacks)  # type: ignore[attr-defined]
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        return [TargetRefresh()] if isinstance(data, ChunkSource) and not given else []

    def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        if chunk.targets is None or chunk.probes is None:
            raise MemUPError(
                "a training chunk came without targets or probes; train MemUP with an EpisodeDataModule "
                "(trainer.fit(model, datamodule=...)), which joins them to every chunk"
            )
        loss, counts = self._target_loss(chunk, chunk.targets, memory)
        self._target_losses = loss.detach(), counts
        terms = {"memory_loss": (loss, counts), "local_loss": self._local_loss(chunk.probes)}
        if self.current_step:
            terms["current_loss"] = self._current_loss(chunk, memory)
        if weight := self._drift_weight(chunk):
            terms |= self._drift(chunk, memory)
        if chunk.loss_free is not None:
            taught = {name: on & ~chunk.loss_free.view(-1, *[1] * (on.dim() - 1)) for name, (_, on) in terms.items()}
            terms = {name: (x, taught[name]) for name, (x, _) in terms.items()}
            if self.clusters is not None and chunk.step % _OBSERVATION_INTERVAL == 0:
                self._observe(
                    self.clusters, chunk.loss_free, chunk, (chunk.targets, chunk.probes), memory[:, -1:].detach()
                )
        losses = global_masked_mean(terms)
        if weight:
            losses["drift_loss"] = weight * losses["drift_loss"] / losses.pop("size").clamp(min=_MIN_SIZE)
        return losses

    @torch.no_grad()
    def _observe(
        self,
        clusters: ContextClusters,
        loss_free: Tensor,
        chunk: Chunk,
        steps: tuple[StepBatch, StepBatch],
        memory: Tensor,
    ) -> None:
        """Note of what clusters the targets are, and what the memory explains of targets and probes in episodes that it is
        not trained on."""
        targets, probes = steps
        context = {name: torch.cat([x, probes.context[name]], dim=1) for name, x in targets.context.items()}
        outcome, position, valid = (torch.cat([getattr(x, n) for x in steps], dim=1) for n in _OBSERVED_FIELDS)
        cluster = clusters(self.local.features(context))
        clusters.count_targets(cluster[:, : targets.valid.shape[1]], targets.valid)
        gain, compared = self._explained_by_own(context, outcome, memory, chunk.episode.where(loss_free, -1))
        clusters.observe(cluster, gain, valid & _ahead(chunk, position) & compared[:, None], chunk.episode)

    def _explained_by_own(
        self, context: Fields, outcome: Tensor, memory: Tensor, episode: Tensor
    ) -> tuple[Tensor, Tensor]:
        """How many bits of outcomes are lost when the memory of an episode is exchanged for that of another.

        Where the memory tells nothing of the outcome the two are equally good on average, whatever the predictor has
        learned of that cluster, by heart or not at all. Against the local predictor a cluster that was never a
        target loses.

        Args:
            context: of the steps, each field ``[B, K, W, ...]``.
            outcome: ``[B, K, ...]``.
            memory: m of each lane, ``[B, 1, output_size]``.
            episode: of each lane, ``[B]``; -1: it is not compared.

        Returns:
            The bits, ``[B, K]``, and whether a lane was compared with another episode's, ``[B]``.
        """
        lanes = len(episode)
        episodes, memories = all_gather_cat(episode), all_gather_cat(memory)
        other = _next_of(episodes >= 0).narrow(0, rank() * lanes, lanes)
        params = self.predictor(self.context_encoder(context), torch.stack([memory, memories[other]]))
        ours, theirs = self.outcome.nll(params, outcome.expand(2, *outcome.shape))
        gain = ((theirs - ours) * BITS_PER_NAT).clamp(-_MAX_GAIN, _MAX_GAIN)
        return gain, (episode >= 0) & (episodes[other] != episode)

    def _target_loss(self, chunk: Chunk, targets: StepBatch, memory: Tensor) -> tuple[Tensor, Tensor]:
        points = slice((chunk.num_steps - 1) % self.predict_every, None, self.predict_every)
        time = (chunk.start[:, None] + torch.arange(chunk.num_steps, device=memory.device))[:, points]
        context = self.context_encoder(targets.context)  # [B, K, C]: once, not once per pair
        params = self.predictor(context[:, None], memory[:, points, None])  # [B, P, K, parameters]
        outcome = targets.outcome[:, None].expand(*params.shape[:3], *targets.outcome.shape[2:])
        counts = chunk.valid[:, points, None] & targets.valid[:, None] & (targets.position[:, None] >= time[:, :, None])
        return self.outcome.loss(params, outcome), counts

    def _current_loss(self, chunk: Chunk, memory: Tensor) -> tuple[Tensor, Tensor]:
        params = self.predictor(self.context_encoder(chunk.windows(self.task.window)), memory)
        return self.outcome.loss(params, chunk.outcome), chunk.has_outcome

    def _drift_weight(self, chunk: Chunk) -> float:
        """What holds for the chunk that is learned from."""
        if chunk.num_steps < 2 and any(self._drift_weights.values()):
            raise MemUPError(
                f"drift_weight={self._drift_weights} compares the steps of a chunk, and chunk_length=1 leaves one; give "
                "longer chunks, or drift_weight=0"
            )
        learned = max(0, self.lanes.num_chunks - 1)  # before this one
        begun = [n for n in self._drift_weights if n <= learned]
        return self._drift_weights[max(begun)] if begun else 0.0

    def _drift(self, chunk: Chunk, memory: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """How far the memory moves, and |m|: a share of it costs nothing to a memory that merely shrinks."""
        with torch.no_grad():
            x = self.encoder(chunk.inputs)
        return {"drift_loss": drift(memory, x, chunk.valid), "size": (memory.float().abs().sum(-1), chunk.valid)}

    def diagnostics(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        targets = chunk.targets
        if targets is None or not targets.position.shape[1]:
            return {}
        ahead = targets.valid & _ahead(chunk, targets.position)
        return global_masked_mean({"train/memory_gain": (self.gains(targets, memory[:, -1:]), ahead)})

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.uncertainty.update(self)

    @torch.no_grad()
    def score(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        """Uncertainty of every step of a chunk that carries its contexts.

        Args:
            chunk: the next chunk of some episodes.
            state: what the call before returned; None at first.

        Returns:
            u ``[lanes, steps]``, and the estimator's state.
        """
        if state is None:
            state = self.uncertainty.initial_state(chunk.lanes)
        u, state = self.uncertainty(self, chunk, state)
        return u, state

    def prepare_clusters(self, num_targets: int) -> None:
        """Get ready for a selector that takes one target of each context cluster.

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
                "cluster; give more model.init_args.num_clusters"
            )

    def has_clusters(self) -> bool:
        """Whether context clusters were found."""
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
        """The cluster of every step of a chunk that carries its contexts."""
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
        """A row for each cluster: see :meth:`~memup_lightning.models.context_clusters.ContextClusters.summary`."""
        return None if self.clusters is None else self.clusters.summary()

    def learning_progress(self, lanes: Tensor) -> Tensor:
        """How far the loss on the targets fell within the last training chunk, from its first prediction point to its last.

        Args:
            lanes: int64 ``[rows]``.

        Returns:
            ``[rows]``; 0 where there is one point, or no target.
        """
        loss, counts = (x[lanes] for x in self._target_losses)
        both = counts[:, 0] & counts[:, -1]
        fall = (loss[:, 0] - loss[:, -1]).where(both, 0).sum(1) / both.sum(1).clamp(min=1)
        return fall.clamp(min=0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.clusters is not None:
            checkpoint["clusters"] = self.clusters.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if "clusters" in checkpoint:
            self.clusters = ContextClusters(0, self.device)
            self.clusters.load_state_dict(checkpoint["clusters"], rank())


def _ahead(chunk: Chunk, position: Tensor) -> Tensor:
    """Which steps ``[B, K]`` the chunk's last state must still explain; the outcomes of those before it has read."""
    return position >= chunk.start[:, None] + chunk.num_steps - 1


def _next_of(some: Tensor) -> Tensor:
    """For each lane of ``some`` (bool ``[lanes]``) the number of the next of them, for the last one the first."""
    order = (~some).to(torch.int8).argsort(stable=True)
    following = torch.empty_like(order).scatter_(0, order, order.roll(-1))
    return following.where(some[following], order[0])
