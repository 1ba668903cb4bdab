"""LightningModules of memory training: MemUP, and its baselines."""

from memup_lightning.modules.base import BaseTask
from memup_lightning.modules.baselines.bptt import BPTT
from memup_lightning.modules.baselines.rtrl import RTRL
from memup_lightning.modules.baselines.tbptt import TBPTT
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.modules.memup import MemUP
from memup_lightning.modules.optimization.learning_rate import InverseSqrtLR
from memup_lightning.modules.optimization.optimizers import MemoryAdam

__all__ = ["BPTT", "RTRL", "TBPTT", "BaseTask", "InverseSqrtLR", "MemUP", "MemoryAdam", "MemoryTask"]
