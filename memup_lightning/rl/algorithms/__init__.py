"""LightningModules of agents: on-policy actor-critics on a memory, and behaviour cloning."""

from memup_lightning.rl.algorithms.actor_critic import ActorCritic
from memup_lightning.rl.algorithms.behavior_cloning import BehaviorCloning
from memup_lightning.rl.algorithms.impala import IMPALA
from memup_lightning.rl.algorithms.joint_ppo import JointPPO
from memup_lightning.rl.algorithms.ppo import PPO

__all__ = ["IMPALA", "PPO", "ActorCritic", "BehaviorCloning", "JointPPO"]
