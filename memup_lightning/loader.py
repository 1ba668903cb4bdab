"""ChunkLoader: the chunks of a stream, read ahead by workers.

What a worker sends costs by the tensor, not by the byte: some 15 tensors a chunk took 3 ms. So a worker packs a block of
consecutive chunks into one tensor in shared memory, and the training process cuts them out of it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from memup_lightning.chunk import Chunk, exchange
from memup_lightning.episodes import IntArray
from memup_lightning.stream import ChunkStream

_ALIGNMENT = 64  # bytes


class ChunkLoader:
    """The chunks of a stream, in its order for any number of workers; torch's DataLoader is within.

    It is no DataLoader itself: Lightning would make another one of it for ``predict``, and put a sampler into it for
    several ranks, but what each rank reads is the schedule's business.

    Args:
        stream: read from where its range begins, at every iteration.
        num_workers: processes that read ahead; 0 reads in this one.
        persistent_workers: whether they outlive an iteration.
    """

    def __init__(self, stream: ChunkStream, num_workers: int = 0, persistent_workers: bool = False) -> None:
        self.stream = stream
        self._workers: DataLoader[Any] | None = None
        if not num_workers:
            return
        # A DataLoader draws a seed for its workers at every iteration. From torch's own random numbers that would make
        # training depend on how often a run was evaluated and resumed; chunks draw nothing, so any other generator will do.
        self._workers = DataLoader(
            _PackedBlocks(stream),
            batch_size=None,
            num_workers=num_workers,
            persistent_workers=persistent_workers,
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[Chunk]:
        # Without workers the stream itself is the iterator: torch's costs a tenth of a millisecond for every chunk.
        return iter(self.stream) if self._workers is None else self._unpacked(iter(self._workers))

    @staticmethod
    def _unpacked(blocks: Iterator[tuple[IntArray, Packed]]) -> Iterator[Chunk]:
        for steps, packed in blocks:
            yield from unpack(packed).split(steps.tolist())


class _PackedBlocks(IterableDataset[Any]):
    """Worker w of W packs the blocks w, w + W, ... of a stream."""

    def __init__(self, stream: ChunkStream) -> None:
        self.stream = stream

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[tuple[IntArray, Packed]]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for block, steps in enumerate(self.stream.blocks()):
            if block % workers == number:
                yield steps, pack(self.stream.block(steps))


class Packed(NamedTuple):
    """A chunk whose tensors lie in one.

    Attributes:
        buffer: bytes of all tensors, in shared memory.
        frame: the chunk, with a :class:`_Place` for each tensor.
    """

    buffer: Tensor
    frame: Any


class _Place(NamedTuple):
    begin: int
    end: int
    dtype: torch.dtype
    shape: torch.Size

    def view(self, buffer: Tensor) -> Tensor:
        return buffer[self.begin : self.end].view(self.dtype).view(self.shape)


def pack(chunk: Chunk) -> Packed:
    """All tensors of a chunk in one."""
    tensors: list[tuple[_Place, Tensor]] = []

    def place(x: Tensor) -> _Place:
        begin = -(-tensors[-1][0].end // _ALIGNMENT) * _ALIGNMENT if tensors else 0
        tensors.append((_Place(begin, begin + x.numel() * x.element_size(), x.dtype, x.shape), x))
        return tensors[-1][0]

    frame = exchange(chunk, Tensor, place)
    storage = torch.UntypedStorage._new_shared(tensors[-1][0].end)  # type: ignore[no-untyped-call]
    buffer = torch.empty(0, dtype=torch.uint8).set_(storage)
    for at, x in tensors:
        at.view(buffer).copy_(x)
    return Packed(buffer, frame)


def unpack(packed: Packed) -> Chunk:
    """The chunk again; its tensors are views."""
    chunk: Chunk = exchange(packed.frame, _Place, lambda at: at.view(packed.buffer))
    return chunk
