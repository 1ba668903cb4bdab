"""What autograd keeps from the forward to the backward pass."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

import torch
from torch import Tensor


class SavedTensors:
    """Context manager: counts the bytes that autograd saves inside it, each storage once.

    Args:
        ignored: tensors whose storages do not count.

    Attributes:
        bytes: counted so far.
    """

    def __init__(self, ignored: Iterable[Tensor]) -> None:
        self._ignored = {x.untyped_storage().data_ptr() for x in ignored}
        # The storages are held until the end, so that none is freed and its address counted for another.
        self._storages: dict[int, torch.UntypedStorage] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda x: x)
        self.bytes = 0

    def _pack(self, x: Tensor) -> Tensor:
        if x.layout == torch.strided:
            storage = x.untyped_storage()
            address = storage.data_ptr()
            if address not in self._ignored and address not in self._storages:
                self._storages[address] = storage
                self.bytes += storage.nbytes()
        return x.detach()  # x itself would refer to the graph that holds it: a cycle that is never freed

    def __enter__(self) -> SavedTensors:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._hooks.__exit__(error_type, error, at)
        self._storages.clear()
