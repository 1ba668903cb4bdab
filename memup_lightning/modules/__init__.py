"""The LightningModules: MemUP, and what stands beside it."""

from memup_lightning.modules.actor_critic import ActorCritic
from memup_lightning.modules.base import MemoryModule
from memup_lightning.modules.bptt import BPTT
from memup_lightning.modules.impala import IMPALA
from memup_lightning.modules.joint import JointPPO
from memup_lightning.modules.memup import MemUP
from memup_lightning.modules.ppo import PPO
from memup_lightning.modules.tbptt import TBPTT
from memup_lightning.modules.trained import TaskModule

__all__ = ["BPTT", "IMPALA", "PPO", "TBPTT", "ActorCritic", "JointPPO", "MemUP", "MemoryModule", "TaskModule"]
