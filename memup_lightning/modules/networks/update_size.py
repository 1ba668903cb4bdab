"""Refusal of updates and evaluations that need more memory than the machine has."""

from __future__ import annotations

from typing import Any

import psutil
import torch
from torch import Tensor, nn

from memup_lightning.chunk import Chunk
from memup_lightning.distributed import world_size
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.models.eval_mode import undisturbed
from memup_lightning.models.saved_tensors import SavedTensors
from memup_lightning.protocols import ChunkSource
from memup_lightning.user_warnings import option, warn_user

_CLEARLY_FITS = 500  # of the machine's memory: where less is read and remembered, no more is measured
_LENGTHS = 16, 32  # steps of the chunks that are measured
_LANES = 3
_FLOAT = 4  # bytes


def check_update_size(model: Any, data: ChunkSource) -> None:
    """Refuse an update that stores more than the device has memory, and an evaluation; warn of more than is free now.

    What encoder and memory save for the backward pass is measured on a few lanes and steps. Predictor, loss and optimizer
    are left out: it is a lower bound.

    Args:
        model: a memory task with its networks, on its device.
        data: recorded episodes, set up for training.

    Raises:
        MemUPError: see above, with the settings to change.
    """
    total, free = _memory_of(model.device)
    read = sum(field.step_bytes for field in model.task.input_fields.values())
    step = read + _FLOAT * (model.encoder.output_size + model.memory.output_size)
    lanes, steps = -(-data.lanes // world_size()), data.chunk_length
    needed = float(lanes * steps * step)
    if needed > total / _CLEARLY_FITS:
        needed += lanes * model.stored_steps(steps) * _saved_per_step(model, data)
    _check("an update", needed, total, free, ("lanes", lanes), ("chunk_length", steps))
    val = data.splits["val"].lengths if "val" in data.splits else None
    if val is not None and len(val):
        lanes = min(-(-data.evaluation_lanes // world_size()), len(val))
        steps = min(data.evaluation_chunk_length, int(val.max()))
        names = ("evaluation_lanes", lanes), ("evaluation_chunk_length", steps)
        _check("an evaluation", float(lanes * steps * step), total, free, *names)


def _check(what: str, needed: float, total: int, free: int, lanes: tuple[str, int], steps: tuple[str, int]) -> None:
    if needed <= free:
        return
    fit = 0.5 * free / needed  # of the lanes, or of the steps
    fewer, shorter = (f"data.{name}" for name, _ in (lanes, steps))
    either = [option(key, int(n * fit)) for key, n in ((fewer, lanes[1]), (shorter, steps[1])) if int(n * fit)]
    problem = (
        f"{what} needs {_size(needed)} at least, for {counted(lanes[1], 'lane')} of {counted(steps[1], 'step')}, and "
    )
    advice = f"; set {' or '.join(either) or option(fewer, 1)}, or give the memory fewer units"
    if needed > total:
        raise MemUPError(f"{problem}the machine has {_size(total)}{advice}")
    warn_user(f"{problem}{_size(free)} are free{advice}")


def _size(number: float) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.1f} MB"


def _memory_of(device: torch.device) -> tuple[int, int]:
    """Return the bytes of a device, and those that are free."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total, free + torch.cuda.memory_reserved(device)
    memory = psutil.virtual_memory()
    return memory.total + psutil.swap_memory().total, memory.available


def _saved_per_step(model: Any, data: ChunkSource) -> float:
    """Return the bytes that encoder and memory save for the backward pass, for a step of a lane."""
    train = data.splits["train"]
    episodes = train.lengths.argsort()[-_LANES:]
    chunk: Chunk = next(iter(train.chunks(episodes, len(episodes), _LENGTHS[0], contexts=False))).to(model.device)
    stored = []
    precision = model.trainer.precision_plugin
    with undisturbed(model, model.device), torch.enable_grad(), precision.forward_context():
        for length in _LENGTHS:
            at = torch.arange(length, device=model.device) % chunk.num_steps
            inputs = {name: x[:, at] for name, x in chunk.inputs.items()}
            with SavedTensors([*_tensors_of(model), *inputs.values()]) as counter:
                x = precision.convert_input(model.encoder(inputs))
                model.memory(x, model.memory.initial_state(chunk.lanes), chunk.is_first)
            stored.append(counter.bytes)
    return (stored[1] - stored[0]) / (_LENGTHS[1] - _LENGTHS[0]) / chunk.lanes


def _tensors_of(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
