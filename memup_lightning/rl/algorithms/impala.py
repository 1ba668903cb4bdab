"""IMPALA: an actor-critic whose updates are corrected for the age of the policy that played."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor
from torch.distributions import Distribution

from memup_lightning.distributed import global_masked_mean
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.algorithms.actor_critic import ActorCritic, AgentOptions, RolloutBatch
from memup_lightning.rl.algorithms.advantages import vtrace
from memup_lightning.rl.rollouts.rollout import Rollout
from memup_lightning.specs import TaskSpec


class IMPALA(ActorCritic):
    """V-trace actor-critic (Espeholt et al., "IMPALA: scalable distributed deep-RL with importance weighted actor-learner
    architectures", ICML 2018, section 4). With ``memory=GTrXL`` it is the agent of "Stabilizing Transformers for
    reinforcement learning" (Parisotto et al., ICML 2020), which trains that core by V-MPO or V-trace.

    In the paper, actors play with weights that are some updates old. Here one process plays a rollout and then learns from
    it, minibatch after minibatch: the later a minibatch, the older the weights that played it. V-trace corrects for that
    in both cases. Values after a truncation and after the last step of a rollout are those of the policy that played.

    Args:
        task: specification of the environment; the command line takes it from the datamodule.
        vtrace_lambda: lambda, a factor of the weights c.
        rho_clip: largest importance weight rho of a temporal difference.
        c_clip: largest importance weight c, by which later temporal differences reach earlier steps.
        **agent: memory, heads, encoder, observation_encoder, normalize_observations, gamma, vf_coef, ent_coef, optimizer,
            lr_scheduler: see :class:`~memup_lightning.rl.algorithms.actor_critic.ActorCritic`.

    Raises:
        MemUPError: an unusable memory; ``vtrace_lambda``, ``rho_clip`` or ``c_clip`` out of range.
    """

    needs_sequences = True

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        vtrace_lambda: float = 1.0,
        rho_clip: float = 1.0,
        c_clip: float = 1.0,
        **agent: Unpack[AgentOptions],
    ) -> None:
        super().__init__(task, **agent)
        if not 0 <= vtrace_lambda <= 1 or not rho_clip > 0 or not c_clip > 0:
            raise MemUPError(
                f"vtrace_lambda={vtrace_lambda}, rho_clip={rho_clip}, c_clip={c_clip}: the first must be in [0, 1], "
                "the others above 0"
            )
        self.vtrace_lambda, self.rho_clip, self.c_clip = vtrace_lambda, rho_clip, c_clip

    def compute_advantages(self, rollout: Rollout) -> dict[str, Tensor]:
        return {
            "reward": rollout.reward,
            "terminated": rollout.terminated,
            "truncated": rollout.truncated,
            "next_value": rollout.next_value,
        }

    def losses(self, batch: RolloutBatch, policy: Distribution, value: Tensor) -> dict[str, Tensor]:
        log_prob = policy.log_prob(batch["action"])
        with torch.no_grad():
            continues = ~(batch["terminated"] | batch["truncated"])[:, :-1]
            next_value = batch["next_value"].clone()
            next_value[:, :-1] = torch.where(continues, value[:, 1:], next_value[:, :-1])
            target, advantage = vtrace(
                (log_prob - batch["log_prob"]).T,
                batch["reward"].T,
                value.T,
                next_value.T,
                batch["terminated"].T,
                batch["truncated"].T,
                self.gamma,
                self.vtrace_lambda,
                self.rho_clip,
                self.c_clip,
            )
        counts = batch["valid"]
        terms = {
            "policy_loss": (-log_prob * advantage.T, counts),
            "value_loss": (self.vf_coef * 0.5 * (value - target.T).square(), counts),
            "entropy_loss": (-self.ent_coef * policy.entropy(), counts),
        }
        return global_masked_mean(terms)

    def diagnostics(self, batch: RolloutBatch, policy: Distribution) -> dict[str, Tensor]:
        """Return the entropy, and the mean importance weight, 1 where the policy that learns is the one that played."""
        with torch.no_grad():
            ratio = (policy.log_prob(batch["action"]) - batch["log_prob"]).exp()
            return global_masked_mean({"entropy": (policy.entropy(), batch["valid"]), "ratio": (ratio, batch["valid"])})
