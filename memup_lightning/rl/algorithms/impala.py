"""IMPALA: an actor-critic whose updates are corrected for the policy that played being an older one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from memup_lightning.distributed import global_masked_mean
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.algorithms.actor_critic import ActorCritic, RolloutBatch
from memup_lightning.rl.algorithms.advantages import vtrace
from memup_lightning.rl.rollouts import Rollout
from memup_lightning.specs import TaskSpec


class IMPALA(ActorCritic):
    """V-trace actor-critic (Espeholt et al., "IMPALA: scalable distributed deep-RL with importance weighted actor-learner
    architectures", ICML 2018, section 4). With ``memory=GTrXL`` it is the agent of "Stabilizing Transformers for
    reinforcement learning" (Parisotto et al., ICML 2020), which trains that core by V-MPO or V-trace.

    There, actors play with weights that are some updates old. Here one process plays a rollout and then learns from it,
    batch after batch: the later a batch, the older the weights that played it. V-trace corrects for that in both cases.
    Values behind a truncation and behind the last step of a rollout are those of the policy that played.

    Args:
        task: what the environment gives; the command line takes it from the datamodule.
        vtrace_lambda: lambda, a factor of the weights c.
        rho_clip: largest importance weight of a temporal difference.
        c_clip: largest importance weight that is handed back.
        **agent: memory, heads, encoder, observation_encoder, normalize_observations, discount, vf_coef,
            ent_coef, optimizer, lr_scheduler: see :class:`~memup_lightning.rl.algorithms.actor_critic.ActorCritic`.
    """

    sequences = True

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        vtrace_lambda: float = 1.0,
        rho_clip: float = 1.0,
        c_clip: float = 1.0,
        **agent: Any,
    ) -> None:
        super().__init__(task, **agent)
        if not 0 <= vtrace_lambda <= 1 or not rho_clip > 0 or not c_clip > 0:
            raise MemUPError(
                f"vtrace_lambda={vtrace_lambda}, rho_clip={rho_clip}, c_clip={c_clip}: the first must lie in [0, 1], the "
                "others above 0"
            )
        self.vtrace_lambda, self.rho_clip, self.c_clip = vtrace_lambda, rho_clip, c_clip

    def compute_advantages(self, rollout: Rollout) -> dict[str, Tensor]:
        return {
            "reward": rollout.reward,
            "terminated": rollout.terminated,
            "truncated": rollout.truncated,
            "next_value": rollout.next_value,
        }

    def losses(self, rows: RolloutBatch, policy: Distribution, value: Tensor) -> dict[str, Tensor]:
        log_prob = policy.log_prob(rows["action"])
        with torch.no_grad():
            goes_on = ~(rows["terminated"] | rows["truncated"])[:, :-1]
            next_value = rows["next_value"].clone()
            next_value[:, :-1] = torch.where(goes_on, value[:, 1:], next_value[:, :-1])
            target, advantage = vtrace(
                (log_prob - rows["log_prob"]).T,
                rows["reward"].T,
                value.T,
                next_value.T,
                rows["terminated"].T,
                rows["truncated"].T,
                self.discount,
                self.vtrace_lambda,
                self.rho_clip,
                self.c_clip,
            )
        counts = rows["valid"]
        terms = {
            "policy_loss": (-log_prob * advantage.T, counts),
            "value_loss": (self.vf_coef * 0.5 * (value - target.T).square(), counts),
            "entropy_loss": (-self.ent_coef * policy.entropy(), counts),
        }
        return global_masked_mean(terms)

    def diagnostics(self, rows: RolloutBatch, policy: Distribution) -> dict[str, Tensor]:
        """The entropy, and the mean importance weight, 1 where the policy that learns is the one that played."""
        with torch.no_grad():
            ratio = (policy.log_prob(rows["action"]) - rows["log_prob"]).exp()
            return global_masked_mean({"entropy": (policy.entropy(), rows["valid"]), "ratio": (ratio, rows["valid"])})
