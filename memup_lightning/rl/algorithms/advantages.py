"""Advantage estimators: generalised advantage estimation, and V-trace.

All tensors are ``[steps, envs]``. The value of a step and the value of the next observation are separate arguments, so that
one rule holds for every end of an episode: after a terminated step the value is zero, after a truncated one it is that of
the episode's next observation, and neither crosses into the next episode.
"""

from __future__ import annotations

import torch
from torch import Tensor


def generalized_advantage_estimation(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float = 0.99,
    gae_lambda: float = 0.95,
) -> Tensor:
    """Compute generalised advantages (Schulman et al., ICLR 2016, equation 16).

    ``A_t = sum over l of (gamma * gae_lambda)^l delta_{t+l}`` up to the end of the episode or of the tensors, with
    ``delta_t = r_t + gamma * V(s_{t+1}) - V(s_t)``.

    Args:
        reward: r_t.
        value: V(s_t).
        next_value: V(s_{t+1}) of the same episode, also where it was truncated and at the last step; ignored after a
            terminated step.
        terminated: whether the episode ended by itself at this step, bool.
        truncated: whether it was cut off after this step, bool.
        gamma: discount factor.
        gae_lambda: lambda.

    Returns:
        A, ``[steps, envs]``; ``A + value`` is the lambda-return, the target of the value function.
    """
    delta = reward + gamma * next_value.masked_fill(terminated, 0) - value
    return _discounted_sum(delta, gamma * gae_lambda * (~(terminated | truncated)).to(delta))


def vtrace(
    log_ratio: Tensor,
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float = 0.99,
    vtrace_lambda: float = 1.0,
    rho_clip: float = 1.0,
    c_clip: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Compute V-trace targets and advantages (Espeholt et al., "IMPALA", ICML 2018, equation 1 and section 4.2).

    Args:
        log_ratio: log pi(a_t | s_t) - log mu(a_t | s_t), of the policy that learns to the one that played.
        reward: r_t.
        value: V(s_t).
        next_value: V(s_{t+1}), as for :func:`generalized_advantage_estimation`.
        terminated: whether the episode ended by itself at this step, bool.
        truncated: whether it was cut off after this step, bool.
        gamma: discount factor.
        vtrace_lambda: lambda, a factor of every c (their remark 2).
        rho_clip: largest importance weight rho of a temporal difference.
        c_clip: largest importance weight c, by which later temporal differences reach earlier steps.

    Returns:
        Targets v_s of the value function, and advantages ``rho_s (r_s + gamma * v_{s+1} - V(s_s))`` of the policy
        gradient, each ``[steps, envs]``.
    """
    ratio = log_ratio.exp()
    rho, c = ratio.clamp(max=rho_clip), vtrace_lambda * ratio.clamp(max=c_clip)
    ends = terminated | truncated
    bootstrap = next_value.masked_fill(terminated, 0)
    delta = rho * (reward + gamma * bootstrap - value)
    target = value + _discounted_sum(delta, gamma * c * ~ends)
    next_target = torch.cat([target[1:], bootstrap[-1:]])
    advantage = rho * (reward + gamma * torch.where(ends, bootstrap, next_target) - value)
    return target, advantage


def _discounted_sum(delta: Tensor, factor: Tensor) -> Tensor:
    """``x_t = delta_t + factor_t * x_{t+1}``, from the last step to the first."""
    total = torch.empty_like(delta)
    last = torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        last = torch.addcmul(delta[t], factor[t], last, out=total[t])
    return total
