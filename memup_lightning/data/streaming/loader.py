"""ChunkLoader: the chunks of a stream, read ahead by workers.

What a worker sends costs by the tensor, not by the byte, and a chunk has many. So a worker packs a block of
consecutive chunks into one tensor in shared memory, and the training process cuts them out of it again. Fresh pages of
shared memory cost more than what is copied into them, on both sides: a worker writes into a few tensors in turn, and the
training process takes a copy, so that a chunk stays what it is however long it is kept.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from memup_lightning.chunk import Chunk
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.typing import IntArray

_ALIGNMENT = 64  # bytes
_PREFETCH = 2  # blocks of a worker that are not yielded yet
_SLOTS = _PREFETCH + 2  # ... and the one that is being copied, and one to spare


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
            prefetch_factor=_PREFETCH,
            persistent_workers=persistent_workers,
            generator=torch.Generator(),
            worker_init_fn=_ignore_sigterm,
        )

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[Chunk]:
        # Without workers the stream itself is the iterator: torch's costs a tenth of a millisecond for every chunk.
        return iter(self.stream) if self._workers is None else self._unpacked(iter(self._workers))

    @staticmethod
    def _unpacked(blocks: Iterator[_SentChunk]) -> Iterator[Chunk]:
        slots: dict[tuple[int, int], Packed] = {}
        for sent in blocks:
            if sent.packed is not None:
                slots[sent.worker, sent.slot] = sent.packed
            buffer, frame = slots[sent.worker, sent.slot]
            yield from unpack(Packed(buffer.clone(), frame)).split(sent.steps.tolist())


class EpochLoader(ChunkLoader):
    """Each iteration yields a whole epoch from where the run is; Lightning, which knows where its epoch ends, stops early.

    Args:
        stream: of the training lanes.
        num_workers: processes that read ahead.
        consumed: number of the chunk with which an iteration begins.
    """

    def __init__(self, stream: ChunkStream, num_workers: int, consumed: Callable[[], int]) -> None:
        super().__init__(stream, num_workers, persistent_workers=True)
        self._consumed = consumed

    def __iter__(self) -> Iterator[Chunk]:
        first = self._consumed()
        self.stream.set_range(first, first + self.stream.epoch_length)
        return super().__iter__()


def _ignore_sigterm(worker: int) -> None:
    """Ignore a SIGTERM that all processes of a run get: the training process still reads chunks until it has written a
    checkpoint. Only one that the training process itself sends ends the worker."""
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_on_sigterm_of_parent, daemon=True).start()


def _exit_on_sigterm_of_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


class _SentChunk(NamedTuple):
    """Block in a slot of a worker, on its way to the training process; a new slot is sent with it."""

    steps: IntArray
    worker: int
    slot: int
    packed: Packed | None


class _PackedBlocks(IterableDataset[Any]):
    """Worker w of W packs the blocks w, w + W, ... of a stream."""

    def __init__(self, stream: ChunkStream) -> None:
        self.stream = stream

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[_SentChunk]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        slots: dict[int, Packed] = {}
        for block, steps in enumerate(self.stream.blocks()):
            if block % workers == number:
                slot = block // workers % _SLOTS
                packed = pack(self.stream.block(steps), slots.get(slot))
                yield _SentChunk(steps, number, slot, None if packed is slots.get(slot) else packed)
                slots[slot] = packed


class Packed(NamedTuple):
    """A chunk whose tensors are parts of one.

    Attributes:
        buffer: bytes of all tensors, in shared memory.
        frame: the chunk, with a :class:`_Place` for each tensor.
    """

    buffer: Tensor
    frame: Chunk


class _Place(NamedTuple):
    begin: int
    end: int
    dtype: torch.dtype
    shape: torch.Size

    def view(self, buffer: Tensor) -> Tensor:
        return buffer[self.begin : self.end].view(self.dtype).view(self.shape)


def pack(chunk: Chunk, into: Packed | None = None) -> Packed:
    """Pack all tensors of a chunk into one.

    Args:
        chunk: what is packed.
        into: written over and returned, if the chunk has the shapes of the one that is packed there.
    """
    tensors: list[tuple[_Place, Tensor]] = []

    def place(x: Tensor) -> _Place:
        begin = -(-tensors[-1][0].end // _ALIGNMENT) * _ALIGNMENT if tensors else 0
        tensors.append((_Place(begin, begin + x.numel() * x.element_size(), x.dtype, x.shape), x))
        return tensors[-1][0]

    frame = chunk.map(place)
    if into is None or into.frame != frame:
        storage = torch.UntypedStorage._new_shared(tensors[-1][0].end)
        into = Packed(torch.empty(0, dtype=torch.uint8).set_(storage), frame)
    for at, x in tensors:
        at.view(into.buffer).copy_(x)
    return into


def unpack(packed: Packed) -> Chunk:
    """Unpack a chunk; its tensors are views."""
    return packed.frame.map(lambda at: at.view(packed.buffer))
