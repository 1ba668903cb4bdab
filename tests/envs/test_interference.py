"""Interference: its rules, and one corridor against them."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.envs import InterferenceEnv, InterferenceRules
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.vector_envs import make_vector_env

MANY = np.arange(4000)


@st.composite
def any_rules(draw: st.DrawFn) -> InterferenceRules:
    cues, overwrites, coins = draw(st.integers(1, 5)), draw(st.integers(0, 2)), draw(st.integers(0, 4))
    least = max(2 * cues * (1 + overwrites), 2 * (cues + coins) - 1)
    order = draw(st.sampled_from(["in_turn", "nested"]))
    return InterferenceRules(least + draw(st.integers(0, 30)), cues, order, overwrites, coins)


def shown(rules: InterferenceRules, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations of all steps ``[n, T, size]``, and the rewards there of a turn to the left and to the right."""
    steps = np.tile(np.arange(rules.length), (len(seeds), 1))
    layout = rules.layout(seeds)
    left, right = (rules.reward(layout, steps, np.full_like(steps, action)) for action in (0, 1))
    return rules.observe(layout, seeds, steps), left, right


@settings(max_examples=60, deadline=None)
@given(any_rules(), st.integers(0, 2**62))
def test_every_cue_is_shown_and_asked_once_and_the_last_turn_shown_before_is_rewarded(
    rules: InterferenceRules, seed: int
) -> None:
    for x, left, right in zip(*shown(rules, seed + np.arange(8)), strict=True):
        turns: dict[int, float] = {}
        last: dict[int, int] = {}
        asked: list[int] = []
        for step in range(rules.length):
            numbers = x[step, 3:].nonzero()[0]
            if x[step, 0]:
                (number,) = numbers
                assert not asked
                turns[number], last[number] = x[step, 0], step
            if x[step, 1] == 1:
                (number,) = numbers
                assert turns[number] * (right[step] - left[step]) == 7  # what was shown is rewarded, with 4 and not -3
                asked.append(number)
            elif x[step, 1] == 0.5:
                assert left[step] == right[step] != 0
            else:
                assert left[step] == right[step] == 0
        assert (x[:, 0] != 0).sum() == rules.cues * (1 + rules.overwrites)
        assert (x[:, 1] == 0.5).sum() == rules.coins
        assert sorted(asked) == list(range(rules.cues))
        assert asked == sorted(last, key=last.__getitem__, reverse=rules.order == "nested")


@pytest.mark.parametrize("order", ["in_turn", "nested"])
def test_what_is_seen_at_a_junction_says_nothing_of_the_reward(order: Any) -> None:
    rules = InterferenceRules(40, 3, order, overwrites=1, coins=2)
    x, _, right = shown(rules, MANY)
    at = x[..., 1] == 1
    good, number, noise = right[at] > 0, x[at][:, 3:].argmax(1), x[at][:, 2]
    assert not x[at][:, 0].any()
    for i in range(3):
        for sign in (-1, 1):
            assert abs(good[(number == i) & (noise == sign)].mean() - 0.5) < 0.05


def test_neither_other_cues_nor_an_overwritten_one_nor_earlier_rewards_say_anything_of_the_reward() -> None:
    rules = InterferenceRules(24, 2, overwrites=1)
    x, _, right = shown(rules, MANY)
    rows = np.arange(len(x))[:, None]
    cues, junctions = (
        np.sort(np.argsort(x[..., i] == 0, axis=1, kind="stable")[:, :n], 1) for i, n in ((0, 4), (1, 2))
    )
    side, number = x[rows, cues, 0], x[rows, cues, 3:].argmax(-1)
    asked, good = x[rows, junctions, 3:].argmax(-1), right[rows, junctions] > 0
    for junction in (0, 1):
        answer = np.where(good[:, junction], 1, -1)
        own = number == asked[:, [junction]]
        first = np.where(own, side, 0)[rows[:, 0], own.argmax(1)]
        others = np.where(own, 0, side).sum(1)
        for clue in (first, others, np.where(good[:, 1 - junction], 1, -1)):
            assert abs((clue * answer).mean()) < 0.06


def test_a_coin_toss_is_fair_and_comes_anywhere_among_the_junctions() -> None:
    x, left, _ = shown(InterferenceRules(12, 1, coins=1), MANY)
    coin = x[..., 1] == 0.5
    assert abs((left[coin] > 0).mean() - 0.5) < 0.05
    before = coin.argmax(1) < (x[..., 1] == 1).argmax(1)
    assert abs(before.mean() - 0.5) < 0.05


def test_cues_come_at_any_step_of_the_first_half_and_junctions_at_any_of_the_second() -> None:
    x, _, _ = shown(InterferenceRules(13, 2), MANY)
    assert np.array_equal((x[..., 0] != 0).any(0), np.arange(13) < 6)
    assert np.array_equal((x[..., 1] != 0).any(0), np.arange(13) >= 6)
    numbers = x[x[..., 0] != 0][:, 3:].reshape(len(x), 2, 2)
    assert abs(numbers[:, 0, 0].mean() - 0.5) < 0.05  # the first to be shown has either number


@settings(max_examples=40, deadline=None)
@given(any_rules(), st.integers(-(2**63), 2**63 - 1), st.data())
def test_any_step_alone_equals_the_same_step_of_the_whole_episode(
    rules: InterferenceRules, seed: int, data: st.DataObject
) -> None:
    seeds = np.array([seed, 5, seed])
    whole, left, _ = shown(rules, seeds)
    at = np.full(3, data.draw(st.integers(0, rules.length - 1)))
    layout = rules.layout(seeds)
    assert np.array_equal(rules.observe(layout, seeds, at), whole[:, at[0]])
    assert np.array_equal(rules.reward(layout, at, np.zeros(3, np.int64)), left[:, at[0]])
    assert np.array_equal(rules.at_junction(layout, at), whole[:, at[0], 1] == 1)
    assert np.array_equal(whole[0], whole[2])  # the seed alone decides


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cues": 0}, "cues=0: must be at least 1"),
        ({"length": 7}, "length=7 is too short with cues=4, .* give length >= 8"),
        ({"length": 15, "overwrites": 1}, "overwrites=1 .* give length >= 16"),
        ({"length": 14, "coins": 4}, "coins=4; give length >= 15"),
        ({"overwrites": -1}, "overwrites=-1: must be at least 0"),
        ({"coins": 1.5}, "coins=1.5: must be a whole number"),
        ({"order": "random"}, "unknown order 'random'; choose 'in_turn' or 'nested'"),
    ],
)
def test_impossible_rules_are_refused_with_what_to_do(arguments: dict[str, Any], message: str) -> None:
    for make in (InterferenceRules, InterferenceEnv):
        with pytest.raises(MemUPError, match=message):
            make(**arguments)


@pytest.mark.parametrize("length", [8, 15])
def test_the_length_that_is_asked_for_is_enough(length: int) -> None:
    InterferenceRules(length, coins=4 * (length == 15)).layout(MANY[:3])


def test_the_environment_passes_gymnasiums_checker_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("memup/Interference-v0", length=12, cues=2, coins=1).unwrapped)


def test_environments_side_by_side_play_equal_episodes_under_equal_seeds() -> None:
    def play() -> list[Any]:
        envs = make_vector_env("memup/Interference-v0", 3, {"length": 10, "cues": 2})
        x, infos = envs.reset(seed=[1, 2, 1])
        played = [x]
        for _ in range(10):
            x, *_, ended, _, _ = envs.step(np.ones(3, np.int64))
            played.append(x)
        assert ended.all()
        envs.close()
        return [*infos["episode_seed"], np.stack(played, 1).tolist()]

    first, second, third, x = play()
    assert first == third != second
    assert x[0] == x[2] != x[1]
    assert play() == [first, second, third, x]
