"""The T-Maze: its rules, and one maze against them."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.envs import TMazeEnv, TMazeRules, TMazeVectorEnv
from memup_lightning.exceptions import MemUPError
from tests.envs.mazes import MODES, SEEDS, rules_of_any_kind


def every_step(rules: TMazeRules, seeds: npt.NDArray[np.int64] = SEEDS) -> tuple[Any, npt.NDArray[np.int64]]:
    """The layout of each episode, and all its steps ``[n, T]`` with T the longest length."""
    layout = rules.layout(seeds)
    return layout, np.tile(np.arange(layout.length.max()), (len(seeds), 1))


@pytest.mark.parametrize("mode", MODES)
def test_the_hint_is_seen_at_the_first_step_alone_and_is_fair(mode: Any) -> None:
    rules = TMazeRules(20, mode)
    layout, steps = every_step(rules)
    hint = rules.observe(layout, SEEDS, steps)[..., 0]
    assert np.array_equal(hint[:, 0], layout.hint)
    assert not hint[:, 1:].any()
    assert set(layout.hint) == {-1, 1}
    assert abs(layout.hint.mean()) < 0.1


@pytest.mark.parametrize("mode", MODES)
def test_the_junction_is_the_last_step_alone(mode: Any) -> None:
    rules = TMazeRules(20, mode)
    layout, steps = every_step(rules)
    junction = rules.observe(layout, SEEDS, steps)[..., 1]
    assert np.array_equal(junction, steps == layout.length[:, None] - 1)


def test_the_length_is_fixed_without_r_and_one_of_eleven_with_it() -> None:
    assert set(TMazeRules(20, "LN").layout(SEEDS).length) == {20}
    lengths, counts = np.unique(TMazeRules(20, "LNR").layout(SEEDS).length, return_counts=True)
    assert lengths.tolist() == list(range(20, 31))
    assert counts.min() > 0.6 * len(SEEDS) / 11


def test_the_hint_does_not_depend_on_the_length_drawn() -> None:
    layout = TMazeRules(20, "LNR").layout(np.arange(20_000))
    assert abs(np.corrcoef(layout.hint, layout.length)[0, 1]) < 0.03


def test_noise_is_a_fair_sign_at_every_step_and_shows_nothing() -> None:
    rules = TMazeRules(20, "LN")
    layout, steps = every_step(rules)
    noise = rules.observe(layout, SEEDS, steps)[..., 2]
    assert set(np.unique(noise)) == {-1.0, 1.0}
    assert np.abs(noise.mean(0)).max() < 0.1  # over episodes, at each step
    assert abs(noise.mean(1)).max() < 1.0  # no episode has one sign throughout
    assert np.abs((noise * layout.hint[:, None]).mean(0)).max() < 0.1
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 0.03


def test_there_is_no_noise_without_n() -> None:
    rules = TMazeRules(20, "L")
    layout, steps = every_step(rules)
    assert not rules.observe(layout, SEEDS, steps)[..., 2].any()


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_only_the_junction_pays_and_by_the_hint(dtype: Any) -> None:
    rules = TMazeRules(12, "LNR")
    layout, steps = every_step(rules)
    last = steps == layout.length[:, None] - 1
    right = np.broadcast_to((layout.hint[:, None] > 0).astype(dtype), steps.shape)
    assert np.array_equal(rules.reward(layout, steps, right), np.where(last, 4.0, 0.0))
    assert np.array_equal(rules.reward(layout, steps, 1 - right), np.where(last, -3.0, 0.0))


@settings(max_examples=60, deadline=None)
@given(rules_of_any_kind())
def test_distractors_are_distinct_steps_of_the_corridor_past_the_first_five(rules: TMazeRules) -> None:
    seeds = np.arange(50)
    layout, steps = every_step(rules, seeds)
    places = layout.distractor_steps
    assert places.shape == layout.distractor_reward.shape == (50, rules.distractors)
    assert (np.diff(places) > 0).all()
    assert (places >= 5).all()
    assert (places < layout.length[:, None] - 1).all()
    expected = (steps[:, :, None] == places[:, None, :]).any(-1)
    assert np.array_equal(rules.observe(layout, seeds, steps)[..., 1] == 0.5, expected)


def test_a_distractor_pays_a_fair_coin_toss_whatever_the_action_and_the_hint() -> None:
    rules = TMazeRules(40, "LNR", distractors=3)
    layout, steps = every_step(rules)
    flagged = rules.observe(layout, SEEDS, steps)[..., 1] == 0.5
    left, right = (rules.reward(layout, steps, np.full_like(steps, action)) for action in (0, 1))
    assert np.array_equal(left[flagged], right[flagged])
    assert np.array_equal(left[flagged].reshape(-1, 3), layout.distractor_reward)
    assert set(np.unique(left[flagged])) == {-3.0, 4.0}
    assert abs(left[flagged].mean() - 0.5) < 0.2
    assert abs(np.corrcoef(layout.hint, layout.distractor_reward[:, 0])[0, 1]) < 0.1
    assert abs(np.corrcoef(layout.distractor_reward[:, 0], layout.distractor_reward[:, 1])[0, 1]) < 0.1
    assert not left[~flagged & (steps < layout.length[:, None] - 1)].any()


def test_every_corridor_step_past_the_first_five_can_be_a_distractor() -> None:
    places = TMazeRules(16, "L", distractors=3).layout(SEEDS).distractor_steps
    assert set(places.ravel()) == set(range(5, 15))


def test_a_step_of_a_million_step_episode_is_made_alone() -> None:
    rules = TMazeRules(1_000_000, "LNR", distractors=30)
    seeds = np.arange(64)
    layout = rules.layout(seeds)
    assert rules.observe(layout, seeds, layout.length - 1)[:, 1].tolist() == [1.0] * 64
    assert rules.observe(layout, seeds, layout.distractor_steps)[..., 1].tolist() == [[0.5] * 30] * 64
    assert rules.layout(seeds[3:4]).length == layout.length[3]


@settings(max_examples=40, deadline=None)
@given(rules_of_any_kind(), st.integers(-(2**63), 2**63 - 1), st.data())
def test_any_step_alone_equals_the_same_step_of_the_rolled_episode(
    rules: TMazeRules, seed: int, data: st.DataObject
) -> None:
    seeds = np.array([seed, 5, seed])
    layout, steps = every_step(rules, seeds)
    rolled = rules.observe(layout, seeds, steps)
    actions = np.ones_like(steps)
    paid = rules.reward(layout, steps, actions)
    at = data.draw(st.integers(0, steps.shape[1] - 1))
    assert np.array_equal(rules.observe(layout, seeds, steps[:, at]), rolled[:, at])
    assert np.array_equal(rules.reward(layout, steps[:, at], actions[:, at]), paid[:, at])
    assert np.array_equal(rolled[0], rolled[2])  # the seed alone decides


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 1}, "length=1 .* give length >= 2"),
        ({"length": 10, "distractors": 5}, "length=10 .* distractors=5; give length >= 11"),
        ({"length": "30"}, "length='30': must be a whole number"),
        ({"distractors": -1}, "distractors=-1: must be at least 0"),
        ({"mode": "LR"}, "unknown T-Maze mode 'LR'"),
    ],
)
def test_impossible_rules_are_refused_with_what_to_do(arguments: dict[str, Any], message: str) -> None:
    for make in (TMazeRules, TMazeEnv, TMazeVectorEnv):
        with pytest.raises(MemUPError, match=message):
            make(**arguments)


@pytest.mark.parametrize("render_mode", [None, "ansi"])
def test_the_environment_passes_gymnasiums_checker_without_warnings(render_mode: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("memup/TMaze-v0", length=12, distractors=2, render_mode=render_mode)
        check_env(env.unwrapped)


def test_the_same_seed_gives_the_same_episodes_and_another_seed_others() -> None:
    env = TMazeEnv(length=30)

    def play(seed: int) -> list[Any]:
        first, _ = env.reset(seed=seed)
        later, info = env.reset()
        return [*first.tolist(), *later.tolist(), info["episode_seed"]]

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_an_episode_can_be_played_again_by_its_seed() -> None:
    env = TMazeEnv(length=30)
    _, info = env.reset(seed=3)
    walk = [env.step(np.int64(1))[0].tolist() for _ in range(29)]
    _, again = env.reset(seed=4, options={"episode_seed": info["episode_seed"]})
    assert again == info
    assert [env.step(np.int64(1))[0].tolist() for _ in range(29)] == walk


def test_stepping_before_the_reset_or_past_the_end_is_refused() -> None:
    env = TMazeEnv(length=2, mode="L")
    with pytest.raises(MemUPError, match=r"call reset\(\)"):
        env.step(np.int64(0))
    env.reset(seed=0)
    assert not env.step(np.int64(0))[2]
    assert env.step(np.int64(0))[2]
    with pytest.raises(MemUPError, match=r"call reset\(\)"):
        env.step(np.int64(0))


def test_an_action_that_is_no_turn_is_refused() -> None:
    env, envs = TMazeEnv(), TMazeVectorEnv(2)
    env.reset(seed=0)
    envs.reset(seed=0)
    with pytest.raises(MemUPError, match="neither 0"):
        env.step(np.int64(2))
    with pytest.raises(MemUPError, match=r"2 numbers, 0 \(left\) or 1"):
        envs.step(np.array([0, 2]))
    with pytest.raises(MemUPError, match=r"2 numbers, 0 \(left\) or 1"):
        envs.step(np.array([0]))


@pytest.mark.parametrize("length", [2, 5, 1000])
def test_the_text_picture_shows_place_and_goal(length: int) -> None:
    env = TMazeEnv(length=length, mode="L", render_mode="ansi")
    _, info = env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    assert picture.startswith("[A.")
    assert picture.endswith("right" if info["hint"] > 0 else "left")
    for _ in range(length):
        env.step(np.int64(0))
    assert "AT]" in str(env.render())
    with pytest.raises(MemUPError, match="'human'"):
        TMazeEnv(render_mode="human")
