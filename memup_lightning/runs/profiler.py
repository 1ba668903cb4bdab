"""Profiler that does nothing, called around every hook of Lightning."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pytorch_lightning.profilers import PassThroughProfiler

_NULL_CONTEXT: AbstractContextManager[None] = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Profiler that does nothing.

    Lightning's own makes a generator at each call, of which there are many an update.
    """

    def profile(self, action_name: str) -> Any:
        return _NULL_CONTEXT
