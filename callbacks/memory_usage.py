"""Measurement of what a training step stores for its backward pass, and of what full BPTT would store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from memup_lightning.chunk import Chunk
from memup_lightning.models.eval_mode import undisturbed
from memup_lightning.models.saved_tensors import SavedTensors
from memup_lightning.modules import BaseTask, MemoryTask
from memup_lightning.runs.parts import log_now, recorded_data

MEGABYTE = 1e6
BPTT_LENGTHS = (64, 128, 256)
"""Steps that the memory is unrolled over, in addition to the chunk's length, to measure what full BPTT stores a step."""
BPTT_BUDGET = 2**27
"""Bytes: a length that would store more is left out, so that measuring does not itself make the peak."""


class MemoryUsage(Callback):
    """Callback that measures the memory of a training step: the first step, and the first that has targets.

    Where there are two types of steps (of a policy and of a memory) it measures the first of each.

    *Saved tensors* are what autograd keeps from forward to backward pass. They are counted by
    ``torch.autograd.graph.saved_tensors_hooks`` over the forward pass of a real training step, each storage once.
    Not counted is what exists anyway, however the loss is computed: parameters and buffers, and the chunk's own tensors
    (``memory/batch_bytes``).

    *Full BPTT* would keep what encoder and memory save at every step of the episode. That is measured on the same
    lanes, over lengths up to 256 steps, and extrapolated by a straight line to the training episodes' mean length.
    Predictor and loss are left out of it: it is a lower bound. The measurement takes no gradient and leaves random
    numbers, buffers and lane states as they were; weights come out bit for bit the same with this callback and without.

    Logs when measured: ``memory/saved_tensor_bytes``, ``memory/batch_bytes``, ``memory/bptt_bytes_extrapolated``; then
    and at every evaluation: ``memory/rss_mb`` and ``memory/peak_rss_mb`` of this process (workers that read ahead are
    not in it) and, with a GPU, ``memory/cuda_peak_mb``.

    Attributes:
        saved_tensor_bytes: most of the steps measured; None before.
        bptt_bytes: what encoder and memory save, by number of steps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.saved_tensor_bytes: int | None = None
        self.bptt_bytes: dict[int, int] = {}
        self._measured: set[tuple[str, bool]] = set()
        self._counting = ExitStack()
        self._counter: SavedTensors | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Chunk, batch_idx: int) -> None:
        batch_type = type(batch).__name__, _has_targets(trainer)
        if not isinstance(pl_module, BaseTask) or batch_type in self._measured:
            return
        self._measured.add(batch_type)
        if not self.bptt_bytes and isinstance(pl_module, MemoryTask):
            with trainer.precision_plugin.forward_context():
                self.bptt_bytes = measure_bptt(pl_module, batch)
        self._counter = self._counting.enter_context(SavedTensors([*_module_tensors(pl_module), *tensors(batch)]))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if self._counter is not None:
            self.saved_tensor_bytes = max(self.saved_tensor_bytes or 0, self._counter.bytes)
        self._counting.close()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Chunk, batch_idx: int
    ) -> None:
        if self._counter is None:
            return
        self._counting.close()  # where there was no backward pass
        self._counter = None
        logged = process_memory(pl_module.device)
        logged["memory/batch_bytes"] = float(sum(x.numel() * x.element_size() for x in tensors(batch)))
        if self.saved_tensor_bytes is not None:
            logged["memory/saved_tensor_bytes"] = float(self.saved_tensor_bytes)
        length = mean_episode_length(trainer)
        if length is not None and self.bptt_bytes:
            logged["memory/bptt_bytes_extrapolated"] = extrapolate(self.bptt_bytes, length)
        log_now(trainer, logged)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            log_now(trainer, process_memory(pl_module.device))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._counting.close()


def measure_bptt(model: MemoryTask, chunk: Chunk, lengths: Sequence[int] = BPTT_LENGTHS) -> dict[int, int]:
    """Return the bytes that encoder and memory save for a backward pass over some numbers of steps.

    Args:
        model: its weights, buffers, gradients and lane state stay as they are, and so do torch's random numbers.
        chunk: the lanes; its inputs are repeated until they are long enough.
        lengths: the numbers of steps; the chunk's own is measured first, and any that would store more than
            :data:`BPTT_BUDGET` is left out.

    Returns:
        Bytes by number of steps.
    """
    found: dict[int, int] = {}
    with undisturbed(model, model.device), torch.enable_grad():
        for length in [chunk.num_steps, *lengths]:
            if found and length * found[chunk.num_steps] / chunk.num_steps > BPTT_BUDGET:
                continue
            at = torch.arange(length, device=chunk.valid.device) % chunk.num_steps
            inputs = {name: x[:, at] for name, x in chunk.inputs.items()}
            with SavedTensors([*_module_tensors(model), *inputs.values()]) as counter:
                x = model.encode_inputs(replace(chunk, inputs=inputs))
                model.advance(x, model.initial_states(chunk.lanes), chunk.is_first)
            found[length] = counter.bytes
    return dict(sorted(found.items()))


def extrapolate(bptt_bytes: dict[int, int], length: float) -> float:
    """Return the bytes at a length, on the straight line through what was measured (least squares)."""
    steps, stored = np.array(list(bptt_bytes), float), np.array(list(bptt_bytes.values()), float)
    if len(steps) == 1:
        return float(stored[0] * length / steps[0])
    slope, base = np.polyfit(steps, stored, 1)
    return float(base + slope * length)


def mean_episode_length(trainer: Trainer) -> float | None:
    """Return the mean number of steps of the training episodes; None where the datamodule has none."""
    data = recorded_data(trainer)
    train = None if data is None else data.splits.get("train")
    return None if train is None else float(train.lengths.mean())


def tensors(batch: Any) -> list[Tensor]:
    """Return all tensors of a chunk, or of an agent's batch."""
    found: list[Tensor] = []
    apply_to_collection(batch, Tensor, found.append)
    return found


def process_memory(device: torch.device) -> dict[str, float]:
    """Return the memory of this process, and the most that it ever had on a GPU, as they are logged."""
    logged = {"memory/rss_mb": resident_mb(), "memory/peak_rss_mb": peak_resident_mb()}
    if device.type == "cuda":
        logged["memory/cuda_peak_mb"] = torch.cuda.max_memory_allocated(device) / MEGABYTE
    return logged


def resident_mb() -> float:
    """Return the resident set of this process now, in 10^6 bytes."""
    return psutil.Process().memory_info().rss / MEGABYTE


def peak_resident_mb() -> float:
    """Return the largest resident set that this process ever had, in 10^6 bytes.

    Linux and Windows keep it. Elsewhere it is the present resident set.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MEGABYTE
    memory = psutil.Process().memory_info()
    return float(getattr(memory, "peak_wset", memory.rss)) / MEGABYTE


def _has_targets(trainer: Trainer) -> bool:
    data = recorded_data(trainer)
    return data is not None and not data.awaits_selection()


def _module_tensors(module: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors that exist with or without a graph: parameters and buffers."""
    yield from module.parameters()
    yield from module.buffers()
