"""Episodes that are computed when they are read are those that the environment plays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.data.episodes import EVAL_MASK, OUTCOME
from memup_lightning.datamodules.recorded.procedural.mazes import MazeEpisodes
from memup_lightning.envs import InterferenceEnv, TMazeEnv, TMazeRules
from memup_lightning.rl.spaces import space_fields


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["L", "LN", "LNR"]), st.sampled_from([0, 3]), st.integers(0, 5), st.data())
def test_any_slice_of_a_generated_episode_equals_the_same_part_of_the_whole(
    mode: Any, distractors: int, episode: int, data: st.DataObject
) -> None:
    source = MazeEpisodes(TMazeRules(20, mode, distractors), np.arange(100, 106))
    length = int(source.lengths[episode])
    start = data.draw(st.integers(0, length))
    stop = data.draw(st.integers(start, length))
    whole, part = source.read(episode, 0, length), source.read(episode, start, stop)
    assert part.keys() == source.fields.keys()
    for name, array in part.items():
        assert array.dtype == np.dtype(source.fields[name].dtype)
        assert np.array_equal(array, whole[name][start:stop])


def test_gathering_generated_steps_at_many_places_equals_reading_them_one_by_one() -> None:
    source = MazeEpisodes(TMazeRules(12, "LNR", 2), np.arange(5))
    rng = np.random.default_rng(0)
    which, starts = rng.integers(0, 5, 50), rng.integers(-6, 25, 50)
    names = list(source.fields)
    together = source.gather(which, starts, 9, names)
    one_by_one = super(MazeEpisodes, source).gather(which, starts, 9, names)
    for name in names:
        assert np.array_equal(together[name], one_by_one[name]), name


PLAYED = [
    *[(TMazeEnv, {"length": 15, "mode": mode, "distractors": 2}) for mode in ("L", "LN", "LNR")],
    (InterferenceEnv, {"length": 15, "cues": 2, "order": "nested", "overwrites": 1, "coins": 1}),
]


@pytest.mark.parametrize(("env_class", "given"), PLAYED, ids=str)
def test_a_generated_episode_is_what_the_environment_plays_under_its_seed(env_class: Any, given: Any) -> None:
    seeds = np.array([3, 2**62 + 11, 77])
    env = env_class(**given)
    source = MazeEpisodes(env.rules, seeds)
    for episode, seed in enumerate(seeds):
        arrays = source.read(episode, 0, int(source.lengths[episode]))
        observation, _ = env.reset(options={"episode_seed": int(seed)})
        paid = []
        for step, action in enumerate(arrays["action"]):
            assert np.array_equal(arrays["observation"][step], observation)
            observation, reward, terminated, _, _ = env.step(action)
            assert arrays["reward"][step] == arrays[OUTCOME][step] == reward
            assert terminated == (step == len(arrays["action"]) - 1)
            paid.append(reward != 0)
        coins = arrays["observation"][:, 1] == 0.5
        assert np.array_equal(arrays[EVAL_MASK], np.array(paid) & ~coins)


def test_generated_actions_are_fair_and_independent_of_hint_and_noise() -> None:
    source = MazeEpisodes(TMazeRules(10, "LN"), np.arange(4000))
    arrays = source.gather(np.arange(4000), np.zeros(4000, np.int64), 10, ["observation", "action"])
    action = arrays["action"] * 2 - 1
    assert abs(action.mean()) < 0.03
    assert abs((action[:, -1] * arrays["observation"][:, 0, 0]).mean()) < 0.06
    assert abs((action * arrays["observation"][..., 2]).mean()) < 0.03


def test_a_slice_at_the_end_of_a_million_steps_is_read_alone() -> None:
    source = MazeEpisodes(TMazeRules(1_000_000, "LNR"), np.arange(2))
    last = int(source.lengths[0])
    assert source.read(0, last - 3, last)[EVAL_MASK].tolist() == [False, False, True]


def test_the_fields_of_generated_episodes_are_those_of_the_environment() -> None:
    env = TMazeEnv(length=10, mode="L")
    played = space_fields("observation", env.observation_space) | space_fields("action", env.action_space)
    generated = MazeEpisodes(TMazeRules(10, "L"), np.arange(2)).fields
    assert {name: generated[name] for name in played} == played
