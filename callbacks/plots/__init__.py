"""Pictures of runs and episodes.

A module is loaded when it is first used (PEP 562): matplotlib takes half a second, and most commands draw nothing.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers
    from memup_lightning.callbacks.plots import episode, film, pictures, style, timeline

__all__ = ["episode", "film", "pictures", "style", "timeline"]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
