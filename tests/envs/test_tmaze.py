"""The T-Maze: its rules, and both environments against them."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.envs import TMazeEnv, TMazeRules, TMazeVectorEnv
from memup_lightning.exceptions import MemUPError

MODES = ("L", "LN", "LNR")
SEEDS = np.arange(2000)


@st.composite
def rules_of_any_kind(draw: st.DrawFn) -> TMazeRules:
    distractors = draw(st.sampled_from([0, 1, 2, 7]))
    length = draw(st.integers(distractors + 6 if distractors else 2, 40))
    return TMazeRules(length, draw(st.sampled_from(MODES)), distractors)


def vector_env(rules: TMazeRules, num_envs: int, **kwargs: Any) -> TMazeVectorEnv:
    return TMazeVectorEnv(num_envs, rules.length, rules.mode, rules.distractors, **kwargs)


def every_step(rules: TMazeRules, seeds: npt.NDArray[np.int64] = SEEDS) -> tuple[Any, npt.NDArray[np.int64]]:
    """The layout of each episode, and all its steps ``[n, T]`` with T the longest length."""
    layout = rules.layout(seeds)
    return layout, np.tile(np.arange(layout.length.max()), (len(seeds), 1))


# --- rules


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


def test_noise_is_a_fair_sign_at_every_step_and_tells_nothing() -> None:
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
        ({"distractors": -1}, "distractors=-1 is negative"),
        ({"mode": "LR"}, "unknown T-Maze mode 'LR'"),
    ],
)
def test_impossible_rules_are_refused_with_what_to_do(arguments: dict[str, Any], message: str) -> None:
    for make in (TMazeRules, TMazeEnv, TMazeVectorEnv):
        with pytest.raises(MemUPError, match=message):
            make(**arguments)


# --- one maze


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
    with pytest.raises(MemUPError, match="2 numbers, each 0"):
        envs.step(np.array([0, 2]))
    with pytest.raises(MemUPError, match="2 numbers, each 0"):
        envs.step(np.array([0]))


@pytest.mark.parametrize("length", [2, 5, 1000])
def test_the_text_picture_shows_place_and_goal(length: int) -> None:
    env = TMazeEnv(length, "L", render_mode="ansi")
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


# --- many mazes


@settings(max_examples=25, deadline=None)
@given(rules_of_any_kind(), st.integers(1, 4), st.sampled_from(["NextStep", "SameStep"]), st.integers(0, 1000))
def test_many_mazes_agree_with_one_maze_step_by_step(
    rules: TMazeRules, num_envs: int, autoreset: str, seed: int
) -> None:
    envs = vector_env(rules, num_envs, autoreset_mode=autoreset)
    observations, infos = envs.reset(seed=seed)
    singles = [TMazeEnv(rules.length, rules.mode, rules.distractors) for _ in range(num_envs)]
    for i, single in enumerate(singles):
        observation, _ = single.reset(options={"episode_seed": int(infos["episode_seed"][i])})
        assert np.array_equal(observations[i], observation)
    over = np.zeros(num_envs, bool)
    random = np.random.default_rng(seed)
    for _ in range(2 * rules.length + 25):
        actions = random.integers(2, size=num_envs)
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        assert not truncations.any()
        assert observations.dtype == np.float32
        for i, single in enumerate(singles):
            begin = {"episode_seed": int(infos["episode_seed"][i])}
            if over[i] and autoreset == "NextStep":
                observation, info = single.reset(options=begin)
                reward, terminated = 0.0, False
            else:
                observation, reward, terminated, _, info = single.step(actions[i])
                if terminated and autoreset == "SameStep":
                    assert np.array_equal(infos["final_obs"][i], observation)
                    assert infos["_final_obs"][i]
                    assert infos["final_info"]["episode_seed"][i] == info["episode_seed"]
                    observation, info = single.reset(options=begin)
            assert np.array_equal(observations[i], observation)
            assert (rewards[i], terminations[i], infos["hint"][i]) == (reward, terminated, info["hint"])
        over = terminations


def test_next_step_autoreset_ignores_the_action_of_the_reset_call() -> None:
    def play(action: int) -> tuple[Any, ...]:
        envs = TMazeVectorEnv(3, length=2, mode="L")
        _, first = envs.reset(seed=0)
        envs.step(np.zeros(3, np.int64))
        assert envs.step(np.zeros(3, np.int64))[2].all()
        observations, rewards, terminations, _, infos = envs.step(np.full(3, action))
        assert not terminations.any()
        assert not rewards.any()
        assert np.array_equal(observations[:, 0], infos["hint"])
        assert (infos["episode_seed"] != first["episode_seed"]).all()
        return observations.tolist(), envs.step(np.zeros(3, np.int64))[0].tolist()

    assert play(0) == play(1)


def test_same_step_autoreset_returns_the_next_episodes_first_observation() -> None:
    envs = TMazeVectorEnv(3, length=2, mode="LN", autoreset_mode=AutoresetMode.SAME_STEP)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    _, first = envs.reset(seed=0)
    assert "final_obs" not in envs.step(np.zeros(3, np.int64))[4]
    observations, rewards, terminations, _, infos = envs.step(np.zeros(3, np.int64))
    assert terminations.all()
    assert np.array_equal(rewards, np.where(first["hint"] < 0, 4.0, -3.0))
    assert np.array_equal(observations[:, 0], infos["hint"])
    assert not infos["final_obs"][:, :2].any()
    assert np.array_equal(infos["final_info"]["hint"], first["hint"])


def test_what_a_step_returned_is_not_changed_by_later_steps() -> None:
    envs = TMazeVectorEnv(4, length=3, mode="LN")
    kept = [envs.reset(seed=0)[1]["hint"]]
    copies = [kept[0].copy()]
    for _ in range(30):
        observations, _, _, _, infos = envs.step(np.zeros(4, np.int64))
        kept += [observations, infos["hint"], infos["episode_seed"]]
        copies += [observations.copy(), infos["hint"].copy(), infos["episode_seed"].copy()]
    assert all(map(np.array_equal, kept, copies))


def episode_seeds(envs: TMazeVectorEnv, steps: int = 12) -> list[list[int]]:
    """The episodes that each maze plays from here on, in order."""
    zeros = np.zeros(envs.num_envs, np.int64)
    played = np.stack([envs.step(zeros)[4]["episode_seed"] for _ in range(steps)], 1)
    return [list(dict.fromkeys(row.tolist())) for row in played]


def test_an_integer_seeds_all_mazes_apart_and_repeatably() -> None:
    envs = TMazeVectorEnv(50, length=2)
    _, infos = envs.reset(seed=7)
    assert len(set(infos["episode_seed"])) == 50
    played = episode_seeds(envs)
    envs.reset(seed=7)
    assert episode_seeds(envs) == played
    assert not set(infos["episode_seed"]) & set(envs.reset(seed=8)[1]["episode_seed"])


def test_a_list_of_seeds_decides_each_maze_at_any_place() -> None:
    envs = TMazeVectorEnv(3, length=2)
    envs.reset(seed=[4, 5, 6])
    played = episode_seeds(envs, 60)
    envs.reset(seed=[6, 4, 5])
    assert episode_seeds(envs, 60) == [played[2], played[0], played[1]]
    with pytest.raises(MemUPError, match="got 2 seeds for 3 mazes"):
        envs.reset(seed=[1, 2])


def test_a_reset_without_seed_begins_the_next_episodes() -> None:
    envs = TMazeVectorEnv(3, length=2, mode="L")
    envs.reset(seed=0)
    played = episode_seeds(envs)
    envs.reset(seed=0)
    assert envs.reset()[1]["episode_seed"].tolist() == [row[1] for row in played]


def test_an_unseeded_maze_is_random() -> None:
    first, second = (TMazeVectorEnv(3).reset()[1]["episode_seed"] for _ in range(2))
    assert not set(first) & set(second)


def test_make_vec_makes_the_native_environment_with_the_right_spaces() -> None:
    envs = gymnasium.make_vec("memup/TMaze-v0", num_envs=5, length=20, mode="L", distractors=3)
    assert isinstance(envs.unwrapped, TMazeVectorEnv)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert envs.observation_space.shape == (5, 3)
    assert envs.step(envs.action_space.sample())[0] in envs.observation_space


def test_mazes_do_not_share_the_generator_of_their_action_space() -> None:
    first, second = TMazeEnv(), TMazeEnv()
    first.action_space.seed(0)
    expected = [first.action_space.sample() for _ in range(40)]
    first.action_space.seed(0)
    second.action_space.seed(1)
    assert [first.action_space.sample() for _ in range(40)] == expected


def test_gymnasiums_episode_statistics_read_the_vector_environment() -> None:
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(TMazeVectorEnv(4, length=6, mode="L"))
    _, infos = envs.reset(seed=0)
    turns = (infos["hint"] > 0).astype(np.int64)
    for _ in range(6):
        _, _, terminations, _, infos = envs.step(turns)
    assert terminations.all()
    assert infos["episode"]["r"].tolist() == [4.0] * 4
    assert infos["episode"]["l"].tolist() == [6] * 4


@pytest.mark.parametrize("arguments", [{"num_envs": 0}, {"autoreset_mode": "Disabled"}])
def test_impossible_vector_environments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(MemUPError, match=next(iter(arguments))):
        TMazeVectorEnv(**arguments)


def test_step_before_reset_is_refused_by_many_mazes() -> None:
    with pytest.raises(MemUPError, match=r"call reset\(\)"):
        TMazeVectorEnv(2).step(np.zeros(2, np.int64))
