"""PPO: proximal policy optimisation, on a memory that MemUP trained, on one that learns with it, or on none."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor
from torch.distributions import Distribution

from memup_lightning.distributed import global_masked_mean
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.algorithms.actor_critic import ActorCritic, AgentOptions, RolloutBatch
from memup_lightning.rl.algorithms.advantages import generalized_advantage_estimation
from memup_lightning.rl.rollouts.rollout import Rollout
from memup_lightning.specs import TaskSpec

_SCALE_DECAY = 0.99  # of the scale of the advantages, at each rollout


class PPO(ActorCritic):
    """PPO with a clipped objective (Schulman et al., "Proximal policy optimization algorithms", 2017, equations 7 and 9).

    With a memory that MemUP trained (``memory=path``) m_t is computed once, when a step is played, and the epochs run on
    minibatches of single steps: no recurrence, no sequences. With a core that learns (``memory=LSTM``: PPO-LSTM) they run
    on whole rollouts of some environments, and gradients reach a rollout's first step.

    The advantages of a rollout are brought to mean 0 and divided by their standard deviation, or by that of an earlier
    rollout, less 1% for each rollout since, if that is larger. Where rewards are rare, most rollouts hold none, and their
    advantages are errors of the value function. Divided by their own deviation in every minibatch, as is usual, such
    errors would change the policy as much as rewards do. (For the same reason DreamerV3 scales large returns down, but
    does not scale small ones up: Hafner et al., "Mastering diverse domains through world models", 2023, section "Actor
    learning".)

    Args:
        task: specification of the environment; the command line takes it from the datamodule.
        gae_lambda: lambda of generalised advantage estimation.
        clip_range: largest difference of the probability ratio from 1 that the objective rewards.
        normalize_advantages: whether advantages are brought to that scale.
        **agent: memory, heads, encoder, observation_encoder, normalize_observations, gamma, vf_coef, ent_coef, optimizer,
            lr_scheduler: see :class:`~memup_lightning.rl.algorithms.actor_critic.ActorCritic`.

    Raises:
        MemUPError: an unusable memory; ``gae_lambda`` or ``clip_range`` out of range.
    """

    advantage_scale: Tensor

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        gae_lambda: float = 0.95,
        clip_range: float = 0.2,
        normalize_advantages: bool = True,
        **agent: Unpack[AgentOptions],
    ) -> None:
        super().__init__(task, **agent)
        if not 0 <= gae_lambda <= 1 or not clip_range > 0:
            raise MemUPError(
                f"gae_lambda={gae_lambda}, clip_range={clip_range}: the first between 0 and 1, the second above 0"
            )
        self.gae_lambda, self.clip_range, self.normalize_advantages = gae_lambda, clip_range, normalize_advantages
        self.register_buffer("advantage_scale", torch.zeros(()))

    def compute_advantages(self, rollout: Rollout) -> dict[str, Tensor]:
        advantage = generalized_advantage_estimation(
            rollout.reward,
            rollout.record["value"],
            rollout.next_value,
            rollout.terminated,
            rollout.truncated,
            self.gamma,
            self.gae_lambda,
        )
        target = advantage + rollout.record["value"]
        if self.normalize_advantages:
            mean = global_masked_mean({"mean": (advantage, rollout.valid)})["mean"]
            std = global_masked_mean({"square": ((advantage - mean).square(), rollout.valid)})["square"].sqrt()
            self.advantage_scale.copy_(torch.maximum(std, _SCALE_DECAY * self.advantage_scale))
            advantage = (advantage - mean) / (self.advantage_scale + 1e-8)
        return {"advantage": advantage, "target": target}

    def losses(self, batch: RolloutBatch, policy: Distribution, value: Tensor) -> dict[str, Tensor]:
        advantage, counts = batch["advantage"], batch["valid"]
        ratio = (policy.log_prob(batch["action"]) - batch["log_prob"]).exp()
        clipped = ratio.clamp(1 - self.clip_range, 1 + self.clip_range)
        objective = torch.minimum(ratio * advantage, clipped * advantage)
        terms = {
            "policy_loss": (-objective, counts),
            "value_loss": (self.vf_coef * 0.5 * (value - batch["target"]).square(), counts),
            "entropy_loss": (-self.ent_coef * policy.entropy(), counts),
        }
        return global_masked_mean(terms)

    def diagnostics(self, batch: RolloutBatch, policy: Distribution) -> dict[str, Tensor]:
        """Compute the approximate KL divergence from the policy that played, the share of clipped steps, the entropy.

        Source: http://joschu.net/blog/kl-approx.html.
        """
        with torch.no_grad():
            log_ratio, counts = policy.log_prob(batch["action"]) - batch["log_prob"], batch["valid"]
            ratio = log_ratio.exp()
            return global_masked_mean(
                {
                    "kl": (ratio - 1 - log_ratio, counts),
                    "clipped": (((ratio - 1).abs() > self.clip_range).float(), counts),
                    "entropy": (policy.entropy(), counts),
                }
            )
