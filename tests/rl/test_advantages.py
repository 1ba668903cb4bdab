"""Advantages against the sums that define them, on random rollouts with terminations and truncations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from memup_lightning.rl.algorithms.advantages import generalized_advantage_estimation, vtrace

Data = dict[str, Tensor]


@st.composite
def rollouts(draw: st.DrawFn) -> Data:
    """Steps of several environments, in which episodes end in both ways."""
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 3)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    ends = draw(st.sampled_from([0.0, 0.3, 1.0]))

    def normal() -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def coin() -> Tensor:
        return torch.rand(shape, generator=generator) < ends

    return {
        "reward": normal(),
        "value": normal(),
        "next_value": normal(),
        "terminated": coin(),
        "truncated": coin(),
    }


numbers = st.floats(0, 1)


def steps_to_the_end(data: Data, t: int, env: int) -> range:
    """The steps from t to the end of its episode, or of the rollout."""
    over = (data["terminated"] | data["truncated"])[:, env]
    end = next((k for k in range(t, len(over)) if over[k]), len(over) - 1)
    return range(t, end + 1)


def difference(data: Data, t: int, env: int, gamma: float) -> float:
    bootstrap = 0.0 if data["terminated"][t, env] else float(data["next_value"][t, env])
    return float(data["reward"][t, env]) + gamma * bootstrap - float(data["value"][t, env])


@given(rollouts(), numbers, numbers)
def test_generalised_advantages_are_the_direct_sum(data: Data, gamma: float, gae_lambda: float) -> None:
    found = generalized_advantage_estimation(**data, gamma=gamma, gae_lambda=gae_lambda)
    for t in range(found.shape[0]):
        for env in range(found.shape[1]):
            steps = steps_to_the_end(data, t, env)
            expected = sum((gamma * gae_lambda) ** (k - t) * difference(data, k, env, gamma) for k in steps)
            assert float(found[t, env]) == pytest.approx(expected, abs=1e-9)


@given(rollouts(), st.integers(0, 2**31), numbers, numbers, st.floats(0.1, 2), st.floats(0.1, 2))
def test_vtrace_is_its_definition(
    data: Data, seed: int, gamma: float, vtrace_lambda: float, rho_clip: float, c_clip: float
) -> None:
    log_ratio = torch.randn(data["reward"].shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    clips = {"rho_clip": rho_clip, "c_clip": c_clip}
    target, advantage = vtrace(log_ratio, **data, gamma=gamma, vtrace_lambda=vtrace_lambda, **clips)
    ratio = log_ratio.exp()

    def wanted(s: int, env: int) -> float:
        """v_s, their equation 1."""
        total = float(data["value"][s, env])
        for t in steps_to_the_end(data, s, env):
            c = math.prod(vtrace_lambda * min(c_clip, float(ratio[i, env])) for i in range(s, t))
            rho = min(rho_clip, float(ratio[t, env]))
            total += gamma ** (t - s) * c * rho * difference(data, t, env, gamma)
        return total

    steps, envs = log_ratio.shape
    for s in range(steps):
        for env in range(envs):
            assert float(target[s, env]) == pytest.approx(wanted(s, env), abs=1e-9)
            if data["terminated"][s, env]:
                bootstrap = 0.0
            elif data["truncated"][s, env] or s == steps - 1:
                bootstrap = float(data["next_value"][s, env])
            else:
                bootstrap = wanted(s + 1, env)
            expected = float(data["reward"][s, env]) + gamma * bootstrap - float(data["value"][s, env])
            rho = min(rho_clip, float(ratio[s, env]))
            assert float(advantage[s, env]) == pytest.approx(rho * expected, abs=1e-9)


def test_on_policy_vtrace_is_the_lambda_return() -> None:
    """With one policy and no clipping in the way, v_s = A_s + V(s_s) (their remark 1)."""
    generator = torch.Generator().manual_seed(0)
    data: Any = {name: torch.randn(9, 2, generator=generator) for name in ("reward", "value", "next_value")}
    data["next_value"][:-1] = data["value"][1:]
    data |= {"terminated": torch.zeros(9, 2, dtype=torch.bool), "truncated": torch.zeros(9, 2, dtype=torch.bool)}
    target, _ = vtrace(torch.zeros(9, 2), **data, gamma=0.9, vtrace_lambda=0.8)
    torch.testing.assert_close(
        target, data["value"] + generalized_advantage_estimation(**data, gamma=0.9, gae_lambda=0.8)
    )
