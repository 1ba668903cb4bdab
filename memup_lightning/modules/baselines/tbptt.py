"""Truncated backpropagation through time: the baseline of MemUP at an equal chunk length."""

from __future__ import annotations

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.memory_task import MemoryTask

_WEIGHTED_FROM = 2000  # updates after which probes are weighted; of MemUP from the first targets on, no later than this


class TBPTT(MemoryTask):
    """Memory trained by truncated backpropagation through time (Williams & Peng, Neural Computation 1990).

    The state of every step predicts the outcome of that same step: ``-log q_phi(y_t | c_t, m_t)``. The state is carried
    from chunk to chunk and gradients are not, so an input more than a chunk ago is remembered by chance only. Networks,
    streams, optimizer and evaluation are those of :class:`~memup_lightning.modules.memup.MemUP`; only the training method
    differs.

    The loss is the mean over the steps at which the memory is evaluated: those that the data mark, or else all with an
    outcome. This helps the baseline twice. It knows which steps matter, and MemUP must find out; and the many steps that
    need no memory do not dominate the few that do. To train without that help, use
    :class:`~memup_lightning.modules.memup.MemUP` with ``current_step=True`` and the selector ``TopK(num_targets=0)``:
    truncated backpropagation with a loss at every step.

    ``memory_gain`` is measured at the evaluated steps, since no targets are selected. It is relative to the local
    predictor, which learns at the same time as the memory, as in MemUP.

    Args:
        task: specification of the data; the command line takes it from the datamodule.
        memory, outcome, predictor, encoder, context_encoder, local, optimizer, lr_scheduler: see
            :class:`~memup_lightning.modules.memory_task.MemoryTask`.
    """

    def needs_own_steps(self) -> bool:
        return True

    def learned_steps(self, chunk: Chunk) -> Tensor:
        """Return the steps of a training chunk whose outcomes are learned, bool ``[B, T]``."""
        return chunk.eval_mask

    def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        if not chunk.context or chunk.probes is None:
            raise MemUPError(
                f"{type(self).__name__} learns from the outcomes of the chunk's own steps, and this chunk came without "
                "them; train it with an EpisodeDataModule (trainer.fit(model, datamodule=...)), which asks what a chunk "
                "must carry"
            )
        loss = self._outcome_loss(chunk, memory)
        return self.mean_losses(
            {
                "outcome_loss": (loss, torch.ones_like(loss, dtype=torch.bool)),
                "local_loss": self.local_loss(chunk.probes, chunk.step >= _WEIGHTED_FROM),
            }
        )

    def loss_place(self, chunk: Chunk, name: str, index: list[int]) -> tuple[int, int]:
        if name == "outcome_loss":
            lane, step = self._learned_places(chunk)[index[0]].tolist()
            return lane, step
        return super().loss_place(chunk, name, index)

    def _learned_places(self, chunk: Chunk) -> Tensor:
        """Lane and number in its episode of every step that :meth:`_outcome_loss` has a loss of, ``[rows, 2]``."""
        lane, step = self.learned_steps(chunk).nonzero().unbind(1)
        return torch.stack([lane, chunk.start[lane] + step], dim=1)

    def _outcome_loss(self, chunk: Chunk, memory: Tensor) -> Tensor:
        """Loss of the outcome of every learned step, predicted from the state of that same step, ``[rows]``."""
        learned = self.learned_steps(chunk)
        context = {name: x[learned] for name, x in chunk.windows(self.task.window).items()}
        outcome = chunk.outcome[learned]
        own = torch.zeros(len(outcome), device=outcome.device)  # every parameter gets a gradient, which DDP asks for
        params = self.predictor(self.context_encoder(context), memory[learned], own)
        return self.outcome.loss(params, outcome)

    def evaluate_gain(self, chunk: Chunk, memory: Tensor) -> None:
        context, outcome = self._evaluated(chunk)
        if len(outcome):
            self.metrics["memory_gain"].update(self._explained(context, outcome, memory[chunk.eval_mask]))
