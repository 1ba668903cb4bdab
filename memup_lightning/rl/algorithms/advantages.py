"""How much better an action was than expected: generalised advantage estimation, and V-trace.

All tensors are ``[steps, envs]``. A step's value and the value of what it led to are given apart, so that one rule holds
for every way in which episodes end: behind a terminated step nothing is to be had, behind a truncated one the episode
would have gone on, and neither hands anything to the episode that begins after it.
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
    discount: float = 0.99,
    decay: float = 0.95,
) -> Tensor:
    """Generalised advantage estimation (Schulman et al., ICLR 2016, equation 16).

    ``A_t = sum over l of (discount * decay)^l delta_{t+l}`` up to the end of the episode or of the tensors, with
    ``delta_t = r_t + discount * V(s_{t+1}) - V(s_t)``.

    Args:
        reward: r_t.
        value: V(s_t).
        next_value: V(s_{t+1}) of the same episode, also where it was truncated and at the last step; behind a terminated
            step it is not read.
        terminated: whether the episode ended by itself at this step, bool.
        truncated: whether it was cut off behind this step, bool.
        discount: gamma.
        decay: lambda.

    Returns:
        A, ``[steps, envs]``; ``A + value`` is what the value function should have said (the lambda-return).
    """
    delta = reward + discount * next_value.masked_fill(terminated, 0) - value
    return _sum_back(delta, discount * decay * (~(terminated | truncated)).to(delta))


def vtrace(
    log_ratio: Tensor,
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float = 0.99,
    decay: float = 1.0,
    rho_clip: float = 1.0,
    c_clip: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """V-trace (Espeholt et al., "IMPALA", ICML 2018, equation 1 and section 4.2).

    Args:
        log_ratio: log pi(a_t | s_t) - log mu(a_t | s_t), of the policy that learns to the one that played.
        reward: r_t.
        value: V(s_t).
        next_value: V(s_{t+1}), as for :func:`generalized_advantage_estimation`.
        terminated: whether the episode ended by itself at this step, bool.
        truncated: whether it was cut off behind this step, bool.
        discount: gamma.
        decay: lambda, a factor of every c (their remark 2).
        rho_clip: largest importance weight of a temporal difference.
        c_clip: largest importance weight that is handed back.

    Returns:
        Targets v_s of the value function, and advantages ``rho_s (r_s + discount * v_{s+1} - V(s_s))`` of the policy
        gradient, each ``[steps, envs]``.
    """
    ratio = log_ratio.exp()
    rho, c = ratio.clamp(max=rho_clip), decay * ratio.clamp(max=c_clip)
    ends = terminated | truncated
    behind = next_value.masked_fill(terminated, 0)
    delta = rho * (reward + discount * behind - value)
    target = value + _sum_back(delta, discount * c * ~ends)
    next_target = torch.cat([target[1:], behind[-1:]])
    advantage = rho * (reward + discount * torch.where(ends, behind, next_target) - value)
    return target, advantage


def _sum_back(delta: Tensor, keep: Tensor) -> Tensor:
    """``x_t = delta_t + keep_t * x_{t+1}``, from the last step to the first."""
    total = torch.empty_like(delta)
    last = torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        last = torch.addcmul(delta[t], keep[t], last, out=total[t])
    return total
