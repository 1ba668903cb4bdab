"""The LightningModules: MemUP, and what stands beside it."""

from memup_lightning.modules.base import MemoryModule
from memup_lightning.modules.bptt import BPTT
from memup_lightning.modules.memup import MemUP
from memup_lightning.modules.tbptt import TBPTT

__all__ = ["BPTT", "TBPTT", "MemUP", "MemoryModule"]
