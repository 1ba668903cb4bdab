"""Collectives between the processes of a run, outside DDP's gradient averaging.

Lightning starts the processes and averages their gradients. In a run of one process every function returns its argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import IntArray

T = TypeVar("T")


def world_size() -> int:
    """Return the number of ranks; 1 where nothing is distributed."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def destroy_process_group() -> None:
    """Destroy the process group, if this process is one of several.

    Lightning does so for NCCL alone. A process that exits while gloo's threads run may be aborted after all its work.
    """
    if world_size() > 1:
        distributed.destroy_process_group()


def share_of_lanes(lanes: int, name: str = "lanes", num_ranks: int | None = None) -> int:
    """Return the number of lanes of each rank.

    Args:
        lanes: of all ranks together.
        name: what to call them in the message.
        num_ranks: by default the number of ranks of this run.

    Raises:
        MemUPError: they cannot be split evenly.
    """
    world = num_ranks or world_size()
    if lanes % world:
        raise MemUPError(
            f"{name}={lanes} cannot be split over {world} processes; it counts the lanes of all of them: give a "
            f"multiple of {world}, such as {-(-lanes // world) * world}"
        )
    return lanes // world


def share_of_episodes(episodes: IntArray, lengths: IntArray, of_rank: int | None = None) -> IntArray:
    """Return the episodes of a rank. They are distributed longest first, so that all ranks have about as many steps.

    Args:
        episodes: all of them.
        lengths: steps of each episode of the source.
        of_rank: by default this one.
    """
    if world_size() == 1:
        return episodes
    ordered: IntArray = episodes[np.argsort(-lengths[episodes], kind="stable")]
    return ordered[rank() if of_rank is None else of_rank :: world_size()]


def all_gather_object(part: T) -> list[T]:
    """Return the objects of all ranks in the order of the ranks; anything that can be pickled."""
    if world_size() == 1:
        return [part]
    parts: list[Any] = [None] * world_size()
    distributed.all_gather_object(parts, part)
    return parts


def all_reduce_sum(part: Tensor) -> Tensor:
    """Sum the tensors of all ranks, all of one shape."""
    if world_size() > 1:
        part = part.clone()
        distributed.all_reduce(part)
    return part


def all_gather_cat(part: Tensor) -> Tensor:
    """Concatenate the tensors of all ranks, all of one shape, along the first dimension."""
    if world_size() == 1:
        return part
    parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(world_size())]
    distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts)


def global_masked_mean(terms: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Compute the mean of each term over the places that count, on all ranks together; 0, with a graph, where none does.

    DDP averages the gradients of N ranks. So the gradient here is that of the rank's sum times N, divided by the number of
    places of all ranks: N ranks take the step that one process with all lanes would take. The values are those of all ranks
    and equal on each. One all_reduce of two numbers a term; nothing is read back to the host.

    Args:
        terms: name -> value of each place, and which places count; both of one shape.

    Returns:
        Scalars by name.
    """
    sums = {name: loss.where(counts, 0).sum() for name, (loss, counts) in terms.items()}
    numbers = {name: counts.sum() for name, (_, counts) in terms.items()}
    if world_size() == 1:
        return {name: sums[name] / numbers[name].clamp(min=1) for name in terms}
    totals = torch.stack([*sums.values(), *numbers.values()]).detach().double()
    distributed.all_reduce(totals)
    total, number = totals.view(2, len(terms)).unbind()
    number = number.clamp(min=1)
    means = {}
    for at, (name, own) in enumerate(sums.items()):
        gradient = own * (world_size() / number[at]).to(own.dtype)
        means[name] = (total[at] / number[at]).to(own.dtype) + (gradient - gradient.detach())
    return means
