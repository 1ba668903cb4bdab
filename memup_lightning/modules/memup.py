"""MemUP: the memory learns to explain the few outcomes that are uncertain without it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk, Steps
from memup_lightning.errors import MemUPError
from memup_lightning.memory import State
from memup_lightning.modules.base import MemoryModule
from memup_lightning.ranks import means
from memup_lightning.task import Task
from memup_lightning.uncertainty import PredictiveUncertainty, Uncertainty


class MemUP(MemoryModule):
    """Memory trained by uncertain outcomes (Sorokin et al., "Explain My Surprise", NeurIPS 2022).

    For every prediction point t of a chunk and every selected target k >= t, predictor and memory minimise
    ``-log q_phi(y_k | c_k, m_t)`` (their equation 3 and algorithm 1). The target's context and outcome come with the
    chunk, so gradients cross the chunk alone, however far k lies. The local predictor learns beside it, on steps drawn
    from the episodes; the two share no parameters.

    Args:
        task: what the data are; the command line takes it from the datamodule.
        predict_every: distance of the prediction points in a chunk, counted back from its last step. 1: every state of
            the chunk must explain the targets; r: only the last one.
        uncertainty: how steps are scored for selection.
        **parts: memory, outcome, predictor, encoder, context_encoder, local, optimizer, lr_scheduler: see
            :class:`~memup_lightning.modules.base.MemoryModule`.
    """

    far_pairs: tuple[Tensor, Tensor]
    """Loss of every lane, prediction point and target of the last training chunk, and which of them count."""

    def __init__(
        self,
        task: Task | dict[str, Any],
        predict_every: int = 1,
        uncertainty: Uncertainty | None = None,
        **parts: Any,
    ) -> None:
        super().__init__(task, **parts)
        if predict_every < 1:
            raise MemUPError(f"predict_every={predict_every}: must be at least 1")
        self.predict_every = predict_every
        self.uncertainty = uncertainty or PredictiveUncertainty()
        self.uncertainty.attach(self)

    def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        if chunk.targets is None or chunk.probes is None:
            raise MemUPError(
                "a training chunk came without targets or probes; train MemUP with an EpisodeDataModule "
                "(trainer.fit(model, datamodule=...)), which joins them to every chunk"
            )
        loss, counts = self._far_loss(chunk, chunk.targets, memory)
        self.far_pairs = loss.detach(), counts
        terms = {
            "memory_loss": (loss, counts),
            "local_loss": self._local_loss(chunk.probes),
        }
        if chunk.context:
            terms["current_loss"] = self._current_loss(chunk, memory)
        return means(terms)

    def _far_loss(self, chunk: Chunk, targets: Steps, memory: Tensor) -> tuple[Tensor, Tensor]:
        points = slice((chunk.steps - 1) % self.predict_every, None, self.predict_every)
        time = (chunk.start[:, None] + torch.arange(chunk.steps, device=memory.device))[:, points]
        context = self.context_encoder(targets.context)  # [B, K, C]: once, not once per pair
        params = self.predictor(context[:, None], memory[:, points, None])  # [B, P, K, parameters]
        outcome = targets.outcome[:, None].expand(*params.shape[:3], *targets.outcome.shape[2:])
        counts = chunk.valid[:, points, None] & targets.valid[:, None] & (targets.position[:, None] >= time[:, :, None])
        return self.outcome.loss(params, outcome), counts

    def _current_loss(self, chunk: Chunk, memory: Tensor) -> tuple[Tensor, Tensor]:
        params = self.predictor(self.context_encoder(chunk.windows(self.task.window)), memory)
        return self.outcome.loss(params, chunk.outcome), chunk.has_outcome

    def diagnostics(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        targets = chunk.targets
        if targets is None or not targets.position.shape[1]:
            return {}
        return means({"train/memory_gain": (self.gains(targets, memory[:, -1:]), targets.valid)})

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.uncertainty.update(self)

    def score(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        """Uncertainty of every step of a chunk that carries its contexts.

        Args:
            chunk: the next chunk of some episodes.
            state: what the call before returned; None at first.

        Returns:
            u ``[lanes, steps]``, and the estimator's state.
        """
        with torch.no_grad():
            if state is None:
                state = self.uncertainty.initial_state(chunk.lanes)
            u, state = self.uncertainty(self, chunk, state)
        return u, state
