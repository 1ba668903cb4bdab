"""MemUP: training of a memory by the outcomes that are uncertain without it."""

from __future__ import annotations

import math
from typing import Any, Unpack

import torch
from pytorch_lightning import Callback
from torch import Tensor

from memup_lightning.chunk import Chunk, StepBatch
from memup_lightning.distributed import global_masked_mean
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.models.certain_steps import CertainSteps
from memup_lightning.models.regularizers import drift
from memup_lightning.models.uncertainty import Uncertainty
from memup_lightning.modules.losses import are_few
from memup_lightning.modules.networks.factories import MemoryOptions
from memup_lightning.modules.own_steps import OwnSteps
from memup_lightning.modules.states.replay import Replay
from memup_lightning.modules.targets.refresh import TargetRefresh
from memup_lightning.modules.targets.task import TargetTask, lies_ahead, steps_ahead
from memup_lightning.runs.parts import find_callback, parts, recorded_data
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import IntArray

_MARGIN = 1.0  # nats below the most uncertain target, down to which the outcome of a state's own step counts
_OWN_SHARE = 0.25  # of a lane's loss that its own outcomes have at least; with all of it, noise among them is memorized
_GAPS = 3  # between the prediction points of a chunk, by default
_TARGETS_OF_ALL = 4  # of a lane: as many, or fewer, are explained at every prediction point by default
_MIN_SIZE = 1e-6  # of a memory that holds nothing


class MemUP(TargetTask):
    """Memory trained by uncertain outcomes (Sorokin et al., "Explain My Surprise", NeurIPS 2022).

    For every prediction point t of a chunk and every selected target k >= t, predictor and memory minimise ``-log
    q_phi(y_k | c_k, m_t)`` (their equation 3 and algorithm 1). The target's context and outcome come with the chunk, so
    gradients cross the chunk only, however far away k is. The local predictor learns at the same time, on steps drawn
    from the episodes; the two share no parameters.

    Args:
        task: specification of the data; the command line takes it from the datamodule.
        predict_every: distance of the prediction points in a chunk, counted back from its last step. 1: every state of
            the chunk must explain the targets; r: only the last one. By default a third of the chunk, which makes four
            points; where a lane has more than four targets they are shared out among the points, since many targets say
            more than many states of one chunk, which are nearly alike.
        current_step: whether every state must explain the outcome of its own step too: the ``{t}`` of the loss. By default
            (None) where the local predictor is nearly as uncertain of it (by 1 nat) as of the most uncertain target.
        uncertainty: how steps are scored for selection.
        num_clusters: context clusters, for a selector that takes one target of each (``Explainable``); by default four
            times its targets.
        drift_weight: weight of the drift regularizer, a loss in addition to the others; 0: none. ``{2000: 5.0}``: none at
            first, and 5 after 2,000 training chunks, since a regularized memory is slower to learn what to write. Drift
            is the movement of m at steps without a rare input (:func:`~memup_lightning.models.regularizers.drift`),
            relative to the size of m. The gradient of a chunk contains the effect of its own steps on the outcomes, not
            the sum over a thousand like them. A variant of temporal activation regularization (Merity, McCann & Socher,
            "Revisiting activation regularization for language RNNs", 2017), which squares the moves and counts all steps
            alike.
        **parts: memory, outcome, predictor, encoder, context_encoder, local, optimizer, lr_scheduler: see
            :class:`~memup_lightning.modules.memory_task.MemoryTask`.

    Raises:
        MemUPError: a number below its minimum; an outcome or a memory that does not fit.
    """

    target_weight: Tensor
    """Weight of the targets' loss, relative to that of own steps: 1, or less after a second start."""
    _target_losses: tuple[Tensor, Tensor]
    """Loss of every lane, prediction point and target of the last training chunk, and which of them count."""

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        predict_every: int | None = None,
        current_step: bool | None = None,
        uncertainty: Uncertainty | None = None,
        num_clusters: int | None = None,
        drift_weight: float | dict[int, float] = 0.0,
        **parts: Unpack[MemoryOptions],
    ) -> None:
        super().__init__(task, uncertainty, num_clusters, **parts)
        check_counts(1, predict_every=predict_every)
        self._drift_weights = drift_weight if isinstance(drift_weight, dict) else {0: drift_weight}
        if any(n < 0 or not 0 <= weight < math.inf for n, weight in self._drift_weights.items()):
            raise MemUPError(
                f"drift_weight={drift_weight}: must be a finite number, at least 0, or such numbers by the update from "
                "which on they hold, such as {2000: 5.0}"
            )
        self.register_buffer("target_weight", torch.ones(()))
        self._own_steps = OwnSteps(_MARGIN)
        self.predict_every = predict_every
        self.current_step = current_step
        self._uncertainty_ahead: tuple[Tensor, Tensor] | None = None  # of the last chunk's targets, and which are valid
        if current_step is None:  # else the predictor learns either all steps or the targets alone, as was asked for
            self.certain = CertainSteps(_MARGIN)

    def needs_own_steps(self) -> bool:
        return self.current_step is not False

    def configure_callbacks(self) -> list[Callback]:
        """Add what the trainer lacks: TargetRefresh, without which the memory learns nothing, and, where the data set no
        ``restart``, Replay, without which it seldom sees what comes late in a long episode."""
        super().configure_callbacks()
        data = recorded_data(self.trainer)
        if data is None:
            return []
        added: list[Callback] = [] if find_callback(self.trainer, TargetRefresh) else [TargetRefresh()]
        callbacks, replays = parts(self.trainer).callbacks, data.default_schedule()
        if replays and not parts(self.trainer).overfit_batches and not find_callback(self.trainer, Replay):
            added.append(Replay())
        # First, not last as Lightning would: a checkpoint that another callback writes must hold their work.
        callbacks[:0] = added
        return []

    def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        if chunk.targets is None or chunk.probes is None:
            raise MemUPError(
                "a training chunk came without targets or probes; train MemUP with an EpisodeDataModule "
                "(trainer.fit(model, datamodule=...)), which joins them to every chunk"
            )
        loss, counts = self._target_loss(chunk, chunk.targets, memory)
        self._target_losses = loss.detach(), counts
        terms = {"memory_loss": (loss, counts), "local_loss": self.local_loss(chunk.probes, chunk.targets.valid.any())}
        if self.current_step is not False:
            terms["current_loss"] = self._current_loss(chunk, chunk.targets, memory)
        if weight := self._drift_weight(chunk):
            terms |= self._drift(chunk, memory)
        if chunk.loss_free is not None:
            trained = {name: on & ~chunk.loss_free.view(-1, *[1] * (on.dim() - 1)) for name, (_, on) in terms.items()}
            terms = {name: (x, trained[name]) for name, (x, _) in terms.items()}
            self.observe_gains(chunk.loss_free, chunk, (chunk.targets, chunk.probes), memory[:, -1:].detach())
        losses = self.mean_losses(terms)
        losses["memory_loss"] = self.target_weight * losses["memory_loss"]
        if weight:
            losses["drift_loss"] = weight * losses["drift_loss"] / losses.pop("size").clamp(min=_MIN_SIZE)
        return losses

    def loss_place(self, chunk: Chunk, name: str, index: list[int]) -> tuple[int, int]:
        if name == "memory_loss":
            lane, point, _ = index
            index = [lane, range(chunk.num_steps)[self._prediction_points(chunk)][point]]
        return super().loss_place(chunk, name, index)

    def _prediction_points(self, chunk: Chunk) -> slice:
        last = chunk.num_steps - 1
        every = max(1, last // _GAPS) if self.predict_every is None else self.predict_every
        return slice(last % every, None, every)

    def _target_loss(self, chunk: Chunk, targets: StepBatch, memory: Tensor) -> tuple[Tensor, Tensor]:
        points = self._prediction_points(chunk)
        time = (chunk.start[:, None] + torch.arange(chunk.num_steps, device=memory.device))[:, points]
        memory = memory[:, points]
        distance = targets.position[:, None] - time[:, :, None]  # [B, P, K]; a target behind its point does not count
        counts = chunk.valid[:, points, None] & targets.valid[:, None] & (distance >= 0)
        ahead = distance.clamp(min=0)
        if self.predict_every is None and counts.shape[-1] > _TARGETS_OF_ALL:
            counts = _share_out(counts, chunk.start // chunk.num_steps)
        if not are_few(counts):
            context = self.context_encoder(targets.context)  # [B, K, C]: once, not once per pair of state and target
            params = self.predictor(context[:, None], memory[:, :, None], ahead)  # [B, P, K, parameters]
            outcome = targets.outcome[:, None].expand(*params.shape[:3], *targets.outcome.shape[2:])
            return self.outcome.memory_loss(params, outcome), counts
        lane, point, target = places = counts.nonzero(as_tuple=True)
        pairs = counts.any(1)  # of a lane and a target: each context is encoded once
        context = self.context_encoder({name: x[pairs] for name, x in targets.context.items()})
        context = context[(pairs.flatten().cumsum(0).view_as(pairs) - 1)[lane, target]]
        params = self.predictor(context, memory[lane, point], ahead[places])  # [places, parameters]
        loss = self.outcome.memory_loss(params, targets.outcome[lane, target])
        return loss.new_zeros(counts.shape).index_put(places, loss), counts

    def _current_loss(self, chunk: Chunk, targets: StepBatch, memory: Tensor) -> tuple[Tensor, Tensor]:
        context, counts = chunk.windows(self.task.window), chunk.has_outcome
        local: tuple[Tensor, Tensor] | None = None
        if self.current_step is None and targets.position.shape[1]:
            with torch.no_grad():
                local_ahead, local_own = self.local(targets.context), self.local(context)
                local = local_own, local_ahead
                ahead, own = self.outcome.uncertainty(local_ahead), self.outcome.uncertainty(local_own)
                most = ahead.masked_fill(~targets.valid, -torch.inf).amax(1, keepdim=True)
                counts = counts & targets.valid.any(1, keepdim=True) & (own >= most - _MARGIN)
            self._uncertainty_ahead = ahead, targets.valid
        own_outcomes, target_outcomes = (chunk.outcome, counts, chunk.valid), (targets.outcome, targets.valid)
        self._own_steps.count(self.global_step + 1, self.outcome, own_outcomes, target_outcomes, local)
        places = counts.nonzero(as_tuple=True) if are_few(counts) else ()  # x[()] is all of x
        params = self.predictor(self.context_encoder({name: x[places] for name, x in context.items()}), memory[places])
        loss = self.outcome.memory_loss(params, chunk.outcome[places])
        loss = loss.new_zeros(counts.shape).index_put(places, loss) if places else loss.where(counts, 0)
        # One outcome at the end of an episode, which is what a run is measured by, would be lost among the other steps of
        # its chunk: however few steps count, they have a quarter of what all would have. A chunk without any adds nothing.
        share = _OWN_SHARE * chunk.valid.sum(1, keepdim=True) / counts.sum(1, keepdim=True).clamp(min=1)
        return loss * share.clamp(min=1), chunk.valid

    def own_share(self) -> float:
        """Return the share of the steps of a training chunk, on all ranks, whose own outcomes are as uncertain as its
        targets, as of one of the last ten updates; to be called on every rank."""
        return self._own_steps.share(self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["own_steps"] = self._own_steps.sums(self.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if "own_steps" in checkpoint:
            self._own_steps.load(checkpoint["own_steps"])

    def after_update(self) -> None:
        super().after_update()
        if self.certain is not None and self._uncertainty_ahead is not None:
            self.certain.observe(*self._uncertainty_ahead)
        self._uncertainty_ahead = None

    def _drift_weight(self, chunk: Chunk) -> float:
        """Return the weight of the drift regularizer at the present chunk."""
        if chunk.num_steps < 2 and any(self._drift_weights.values()):
            raise MemUPError(
                f"drift_weight={self._drift_weights} compares the steps of a chunk, and chunk_length=1 leaves one; give "
                "longer chunks, or drift_weight=0"
            )
        learned = max(0, self.lanes.num_chunks - 1)  # before this one
        begun = [n for n in self._drift_weights if n <= learned]
        return self._drift_weights[max(begun)] if begun else 0.0

    def _drift(self, chunk: Chunk, memory: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Compute the movement of the memory and |m|; the loss is their ratio, which shrinking m does not reduce."""
        with torch.no_grad():
            x = self.encoder(chunk.inputs)
        return {"drift_loss": drift(memory, x, chunk.valid), "size": (memory.float().abs().sum(-1), chunk.valid)}

    def diagnostics(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        targets = chunk.targets
        if targets is None or not targets.position.shape[1]:
            return {}
        ahead = targets.valid & lies_ahead(chunk, targets.position)
        gains = self.gains(targets, memory[:, -1:], steps_ahead(chunk, targets.position))
        return global_masked_mean({"train/memory_gain": (gains, ahead)})

    def learning_progress(self, lanes: IntArray) -> Tensor:
        """Compute the decrease of the targets' loss from the first to the last prediction point of the last chunk.

        Args:
            lanes: ``[rows]``.

        Returns:
            ``[rows]``; 0 where there is one point, or no target.
        """
        rows = torch.from_numpy(lanes).to(self.device, non_blocking=True)
        loss, counts = (x[rows] for x in self._target_losses)
        both = counts[:, 0] & counts[:, -1]
        progress = (loss[:, 0] - loss[:, -1]).where(both, 0).sum(1) / both.sum(1).clamp(min=1)
        return progress.clamp(min=0)


def _share_out(counts: Tensor, shift: Tensor) -> Tensor:
    """Share the targets of each lane out among the prediction points, about four to a point.

    Those of the first point are also the last one's, so that what the memory learns between the two can be measured.

    Args:
        counts: which targets lie ahead of a point, ``[B, P, K]``.
        shift: that decides which target belongs to which point, ``[B]``.

    Returns:
        Which point explains which target, ``[B, P, K]``: at least one explains each that lies ahead of any.
    """
    there, num_points = counts.any(1), counts.shape[1]
    every = ((there.sum(1) - 1) // _TARGETS_OF_ALL + 1).clamp(1, num_points)[:, None, None]
    turn = (there.cumsum(1) - 1 + shift[:, None])[:, None]
    point = torch.arange(num_points, device=counts.device)[:, None]
    shared = counts & (((turn + point) % every == 0) | ((point == num_points - 1) & (turn % every == 0)))
    return shared | (counts & ~shared.any(1, keepdim=True))  # a target within the chunk lies behind some points
