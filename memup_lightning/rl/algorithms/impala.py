"""IMPALA: an actor-critic whose updates are corrected for the policy that played being an older one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from memup_lightning.distributed import means
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.algorithms.actor_critic import ActorCritic, Rows
from memup_lightning.rl.algorithms.advantages import vtrace
from memup_lightning.rl.rollouts import Rollout
from memup_lightning.specs import Task


class IMPALA(ActorCritic):
    """V-trace actor-critic (Espeholt et al., "IMPALA: scalable distributed deep-RL with importance weighted actor-learner
    architectures", ICML 2018, section 4). With ``memory=GTrXL`` it is the agent of "Stabilizing Transformers for
    reinforcement learning" (Parisotto et al., ICML 2020), which trains that core by V-MPO or V-trace.

    There, actors play with weights that are some updates old. Here one process plays a rollout and then learns from it,
    batch after batch: the later a batch, the older the weights that played it. V-trace corrects for that in both cases.
    Values behind a truncation and behind the last step of a rollout are those of the policy that played.

    Args:
        task: what the environment gives; the command line takes it from the datamodule.
        trace_decay: lambda, a factor of the weights c.
        clip_rho: largest importance weight of a temporal difference.
        clip_c: largest importance weight that is handed back.
        **agent: memory, heads, encoder, observation_encoder, normalize_observations, discount, value_weight,
            entropy_weight, optimizer, lr_scheduler: see :class:`~memup_lightning.rl.algorithms.actor_critic.ActorCritic`.
    """

    sequences = True

    def __init__(
        self,
        task: Task | dict[str, Any],
        trace_decay: float = 1.0,
        clip_rho: float = 1.0,
        clip_c: float = 1.0,
        **agent: Any,
    ) -> None:
        super().__init__(task, **agent)
        if not 0 <= trace_decay <= 1 or not clip_rho > 0 or not clip_c > 0:
            raise MemUPError(
                f"trace_decay={trace_decay}, clip_rho={clip_rho}, clip_c={clip_c}: the first between 0 and 1, the others "
                "above 0"
            )
        self.trace_decay, self.clip_rho, self.clip_c = trace_decay, clip_rho, clip_c

    def credit(self, rollout: Rollout) -> dict[str, Tensor]:
        return {
            "reward": rollout.reward,
            "terminated": rollout.terminated,
            "truncated": rollout.truncated,
            "next_value": rollout.next_value,
        }

    def losses(self, rows: Rows, policy: Distribution, value: Tensor) -> dict[str, Tensor]:
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
                self.trace_decay,
                self.clip_rho,
                self.clip_c,
            )
        counts = rows["valid"]
        terms = {
            "policy_loss": (-log_prob * advantage.T, counts),
            "value_loss": (self.value_weight * 0.5 * (value - target.T).square(), counts),
            "entropy_loss": (-self.entropy_weight * policy.entropy(), counts),
        }
        return means(terms)

    def diagnostics(self, rows: Rows, policy: Distribution) -> dict[str, Tensor]:
        """The entropy, and the mean importance weight, 1 where the policy that learns is the one that played."""
        with torch.no_grad():
            ratio = (policy.log_prob(rows["action"]) - rows["log_prob"]).exp()
            return means({"entropy": (policy.entropy(), rows["valid"]), "ratio": (ratio, rows["valid"])})
