"""Outcomes from rewards, against their definition, with ends that are real and ends that are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.rollouts.returns import NEGLIGIBLE, reward_targets


def discounted(rewards: list[float], gamma: float) -> float:
    return sum(gamma**n * r for n, r in enumerate(rewards))


@st.composite
def episodes_of_rewards(draw: st.DrawFn) -> tuple[list[list[float]], list[bool]]:
    rewards = draw(st.lists(st.lists(st.floats(-5, 5, width=16), min_size=1, max_size=12), min_size=1, max_size=5))
    ends = draw(st.lists(st.booleans(), min_size=len(rewards), max_size=len(rewards)))
    return rewards, ends


def found(kind: Any, rewards: list[list[float]], ends: list[bool], n_steps: int = 1, gamma: float = 1.0) -> Any:
    """Outcomes and flags of each episode."""
    lengths = np.array([len(r) for r in rewards])
    flat = np.concatenate(rewards).astype(np.float32)
    value, known = reward_targets(kind, flat, lengths, np.array(ends), n_steps, gamma)
    assert value.dtype == np.float32
    assert known.dtype == np.bool_
    cuts = np.cumsum(lengths)[:-1]
    return [(v.tolist(), k.tolist()) for v, k in zip(np.split(value, cuts), np.split(known, cuts), strict=True)]


@settings(max_examples=60, deadline=None)
@given(episodes_of_rewards())
def test_a_reward_is_known_at_every_step(case: tuple[list[list[float]], list[bool]]) -> None:
    rewards, ends = case
    for (value, known), own in zip(found("reward", rewards, ends), rewards, strict=True):
        assert value == own
        assert all(known)


@settings(max_examples=100, deadline=None)
@given(episodes_of_rewards(), st.integers(1, 15), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_n_step_sums_follow_their_definition(
    case: tuple[list[list[float]], list[bool]], n_steps: int, gamma: float
) -> None:
    rewards, ends = case
    for (value, known), own, terminated in zip(
        found("n_step", rewards, ends, n_steps, gamma), rewards, ends, strict=True
    ):
        for t in range(len(own)):
            assert known[t] == (terminated or t + n_steps <= len(own))
            assert value[t] == pytest.approx(discounted(own[t : t + n_steps], gamma), abs=1e-4)


@settings(max_examples=100, deadline=None)
@given(episodes_of_rewards(), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_returns_follow_their_definition(case: tuple[list[list[float]], list[bool]], gamma: float) -> None:
    rewards, ends = case
    for (value, known), own, terminated in zip(found("return", rewards, ends, gamma=gamma), rewards, ends, strict=True):
        for t in range(len(own)):
            assert known[t] == (terminated or gamma ** (len(own) - t) <= NEGLIGIBLE)
            assert value[t] == pytest.approx(discounted(own[t:], gamma), abs=1e-4)


def test_the_end_of_a_terminated_episode_is_known_and_that_of_a_truncated_one_is_not() -> None:
    (_, terminated), (_, truncated) = found("return", [[1.0] * 4, [1.0] * 4], [True, False], gamma=0.99)
    assert terminated == [True] * 4
    assert truncated == [False] * 4


def test_far_from_a_truncation_a_discounted_return_is_known() -> None:
    ((_, known),) = found("return", [[1.0] * 100], [False], gamma=0.9)
    assert known == [0.9 ** (100 - t) <= 0.01 for t in range(100)]
    assert known[0]
    assert not known[99]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["reward", "n_step", "return"])
def test_a_reward_that_is_no_number_is_refused_with_its_place(kind: Any, bad: float) -> None:
    with pytest.raises(MemUPError, match=f"reward of episode 1 at step 2 is {bad}"):
        found(kind, [[0.0] * 5, [0.0, 0.0, bad, 0.0]], [True, True])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "n_step", "n_steps": 0}, "n_steps=0"),
        ({"kind": "return", "gamma": 1.5}, "gamma=1.5"),
        ({"kind": "return", "gamma": -0.1}, "gamma=-0.1"),
        ({"kind": "advantage"}, "outcome='advantage' is not known; choose 'reward', 'n_step', 'return' or 'action'"),
    ],
)
def test_an_impossible_outcome_is_refused_with_its_value(given: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        found(rewards=[[1.0]], ends=[True], **given)
