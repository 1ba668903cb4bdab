"""The LightningModules: MemUP, and what stands beside it."""

from memup_lightning.modules.base import MemoryModule
from memup_lightning.modules.memup import MemUP

__all__ = ["MemUP", "MemoryModule"]
