"""Full backpropagation through time, over whole episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from memup_lightning.chunk import Chunk
from memup_lightning.exceptions import MemUPError, check_counts, counted
from memup_lightning.models.memory import State
from memup_lightning.modules.baselines.tbptt import TBPTT
from memup_lightning.modules.networks.factories import MemoryOptions
from memup_lightning.runs.parts import recorded_data
from memup_lightning.specs import TaskSpec
from memup_lightning.user_warnings import option, warn_user


class BPTT(TBPTT):
    """Memory trained by backpropagation through whole episodes: :class:`TBPTT` with chunks as long as the episodes.

    Every chunk begins and ends an episode, so every update plays ``lanes`` whole episodes, and what it stores grows with
    their length (``memory/saved_tensor_bytes``). With ``checkpoint_every`` it stores the states between segments of that
    many steps, and computes each segment again in the backward pass (Chen et al., "Training Deep Nets with Sublinear
    Memory Cost", 2016): the same gradients for one more forward pass. m of every step is still stored, for the predictor;
    the states between segments are too, but ``memory/saved_tensor_bytes`` does not count them.

    Args:
        task: specification of the data; the command line takes it from the datamodule.
        checkpoint_every: steps of a segment that is computed again in the backward pass; None: all is stored.
        **parts: memory, outcome, predictor, encoder, context_encoder, local, optimizer, lr_scheduler: see
            :class:`~memup_lightning.modules.memory_task.MemoryTask`.

    Raises:
        MemUPError: a training episode is longer than a chunk.
    """

    def __init__(
        self, task: TaskSpec | dict[str, Any], checkpoint_every: int | None = None, **parts: Unpack[MemoryOptions]
    ) -> None:
        super().__init__(task, **parts)
        check_counts(1, checkpoint_every=checkpoint_every)
        self.checkpoint_every = checkpoint_every

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = recorded_data(self.trainer)
        if data is None:
            return
        longest = int(data.splits["train"].lengths.max())
        if data.chunk_length < longest:
            raise MemUPError(
                f"BPTT goes back over whole episodes, and the longest has {counted(longest, 'step')}, but a chunk has "
                f"{data.chunk_length}; set {option('data.chunk_length', longest)}. An update then takes about "
                f"{longest / data.chunk_length:.3g} times as long: fewer lanes make it shorter, "
                f"{option('data.lanes', 32)} say"
            )

        if self.checkpoint_every is not None and self.checkpoint_every >= data.chunk_length:
            warn_user(
                f"checkpoint_every={self.checkpoint_every} has no effect: a chunk has {counted(data.chunk_length, 'step')}"
                "; give fewer, about the square root of it"
            )

    def stored_steps(self, chunk_length: int) -> int:
        return min(chunk_length, self.checkpoint_every or chunk_length)

    def unroll(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        remember = super().unroll
        if not self._in_segments(chunk):
            return remember(chunk, state)
        out = []
        for part in self._segments(chunk):
            memory, state = _recomputed(remember, part, state)
            out.append(memory)
        assert state is not None
        return torch.cat(out, dim=1), state

    def _outcome_loss(self, chunk: Chunk, memory: Tensor) -> Tensor:
        loss = super()._outcome_loss
        if not self._in_segments(chunk):
            return loss(chunk, memory)
        segments = self._segments(chunk)
        memories = torch.split(memory, [part.num_steps for part in segments], dim=1)
        return torch.cat([_recomputed(loss, *pair) for pair in zip(segments, memories, strict=True)])

    def _learned_places(self, chunk: Chunk) -> Tensor:
        places = super()._learned_places
        return (
            torch.cat([places(part) for part in self._segments(chunk)]) if self._in_segments(chunk) else places(chunk)
        )

    def _in_segments(self, chunk: Chunk) -> bool:
        return self.checkpoint_every is not None and self.checkpoint_every < chunk.num_steps and torch.is_grad_enabled()

    def _segments(self, chunk: Chunk) -> list[Chunk]:
        """Split the chunk into segments of ``checkpoint_every`` steps (views)."""
        assert self.checkpoint_every is not None
        segments = []
        for begin in range(0, chunk.num_steps, self.checkpoint_every):
            end = min(begin + self.checkpoint_every, chunk.num_steps)
            part = replace(
                chunk,
                inputs={name: x[:, begin:end] for name, x in chunk.inputs.items()},
                valid=chunk.valid[:, begin:end],
                is_first=chunk.is_first & (begin == 0),
                start=chunk.start + begin,
                context={name: x[:, begin : end + self.task.window - 1] for name, x in chunk.context.items()},
                outcome=chunk.outcome[:, begin:end],
                has_outcome=chunk.has_outcome[:, begin:end],
                eval_mask=chunk.eval_mask[:, begin:end],
            )
            segments.append(part)
        return segments


def _recomputed(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function without storing its intermediate results; the backward pass calls it again."""
    return checkpoint(function, *args, use_reentrant=False)
