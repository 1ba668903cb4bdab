"""Which episode and step each lane of training reads: a pure function of seed and step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.data.streaming.curriculum import CurriculumSampler
from memup_lightning.data.streaming.samplers import (
    ShuffledLaneSampler,
)
from memup_lightning.exceptions import MemUPError
from tests.data.streaming.some_lengths import LENGTHS, some_lengths

some_restart = st.sampled_from([(0.0,), (0.5,), (0.3, 0.0), (0.6, 0.1, 0.0)])


class Visit:
    """One stay of a lane in an episode, as read off the positions."""

    def __init__(self, episode: int, starts: list[int]) -> None:
        self.episode = episode
        self.starts = starts


def visits_of(schedule: ShuffledLaneSampler, steps: int) -> list[list[Visit]]:
    """The complete stays of every lane in the first steps of the run; the last one may go on and is left out."""
    at = schedule.at(np.arange(steps))
    lanes = []
    for lane in range(schedule.lanes):
        begins = np.flatnonzero(at.start[:, lane] == 0)
        ends = begins[1:]
        lanes.append(
            [
                Visit(int(at.episode[a, lane]), at.start[a:b, lane].tolist())
                for a, b in zip(begins[:-1], ends, strict=True)
                if len(set(at.episode[a:b, lane])) == 1
            ]
        )
        assert len(lanes[-1]) == len(begins) - 1, "a lane changed its episode without beginning at step 0"
    return lanes


def chunks_of(length: int, chunk_length: int) -> int:
    return -(-length // chunk_length)


@settings(max_examples=25, deadline=None)
@given(some_lengths, st.integers(1, 7), st.integers(1, 9), some_restart, st.integers(0, 3))
def test_a_visit_begins_at_step_0_and_continues_in_consecutive_chunks(
    lengths: Any, lanes: int, chunk_length: int, restart: tuple[float, ...], seed: int
) -> None:
    schedule = ShuffledLaneSampler(lengths, lanes, chunk_length, restart, seed)
    assert (schedule.at(np.array([0])).start == 0).all()
    for lane in visits_of(schedule, 300):
        for visit in lane:
            assert visit.starts == list(range(0, len(visit.starts) * chunk_length, chunk_length))


@settings(max_examples=25, deadline=None)
@given(some_lengths, st.integers(1, 7), st.integers(1, 9), some_restart, st.integers(0, 3))
def test_no_chunk_begins_past_the_end_of_its_episode(
    lengths: Any, lanes: int, chunk_length: int, restart: tuple[float, ...], seed: int
) -> None:
    at = ShuffledLaneSampler(lengths, lanes, chunk_length, restart, seed).at(np.arange(300))
    assert (at.start < lengths[at.episode]).all()


@settings(max_examples=25, deadline=None)
@given(some_lengths, st.integers(1, 5), st.integers(1, 9), st.integers(0, 3))
def test_without_restarts_every_visit_but_the_first_goes_to_the_end(
    lengths: Any, lanes: int, chunk_length: int, seed: int
) -> None:
    for lane in visits_of(ShuffledLaneSampler(lengths, lanes, chunk_length, [0.0], seed), 300):
        for visit in lane[1:]:
            assert len(visit.starts) == chunks_of(int(lengths[visit.episode]), chunk_length)


@settings(max_examples=25, deadline=None)
@given(some_lengths, st.integers(1, 5), some_restart, st.integers(0, 3))
def test_each_pass_of_a_lane_begins_each_episode_once(
    lengths: Any, lanes: int, restart: tuple[float, ...], seed: int
) -> None:
    schedule = ShuffledLaneSampler(lengths, lanes, 4, restart, seed)
    for lane in visits_of(schedule, 12 * int(lengths.sum())):
        episodes = [visit.episode for visit in lane]
        passes = [episodes[n : n + len(lengths)] for n in range(0, len(episodes), len(lengths))]
        assert len(passes) > 1
        for turn in passes:
            assert len(set(turn)) == len(turn)


def test_passes_and_lanes_differ_in_their_order() -> None:
    lengths = np.full(30, 4)
    lanes = visits_of(ShuffledLaneSampler(lengths, 8, 4), 61)
    orders = {tuple(v.episode for v in lane[n : n + 30]) for lane in lanes for n in (0, 30)}
    assert len(orders) == 16


def test_another_seed_is_another_schedule() -> None:
    steps = np.arange(50)
    first, second = (ShuffledLaneSampler(LENGTHS, 4, 3, seed=seed).at(steps) for seed in (1, 2))
    assert not np.array_equal(first.episode, second.episode)


@settings(max_examples=25, deadline=None)
@given(some_lengths, some_restart, st.lists(st.integers(0, 2000), min_size=1, max_size=30))
def test_steps_asked_for_in_any_order_and_one_by_one_are_the_same(
    lengths: Any, restart: tuple[float, ...], steps: list[int]
) -> None:
    whole = ShuffledLaneSampler(lengths, 3, 2, restart).at(np.arange(2001))
    schedule = ShuffledLaneSampler(lengths, 3, 2, restart)
    together = schedule.at(np.array(steps))
    assert np.array_equal(together.episode, whole.episode[steps])
    assert np.array_equal(together.start, whole.start[steps])
    for step in steps:
        alone = schedule.at(np.array([step]))
        assert np.array_equal(alone.episode[0], whole.episode[step])
        assert np.array_equal(alone.start[0], whole.start[step])


def test_steps_asked_for_backwards_over_many_visits_are_the_same() -> None:
    whole = ShuffledLaneSampler(LENGTHS, 4, 3, (0.4, 0.0)).at(np.arange(20_000))
    schedule = ShuffledLaneSampler(LENGTHS, 4, 3, (0.4, 0.0))
    for step in range(19_999, 0, -977):
        alone = schedule.at(np.array([step]))
        assert np.array_equal(alone.episode[0], whole.episode[step])
        assert np.array_equal(alone.start[0], whole.start[step])


def test_a_step_beyond_many_visits_is_the_same_after_a_walk_and_after_a_jump() -> None:
    walked = ShuffledLaneSampler(LENGTHS, 4, 3, (0.4, 0.0), seed=5)
    for step in range(0, 20_000, 250):
        walked.at(np.arange(step, step + 250))
    jumped = ShuffledLaneSampler(LENGTHS, 4, 3, (0.4, 0.0), seed=5)
    step = np.array([19_999])
    for one, other in zip(walked.at(step), jumped.at(step), strict=True):
        assert np.array_equal(one, other)


def test_restarts_come_after_a_geometric_number_of_chunks() -> None:
    p = 0.2
    lanes = visits_of(ShuffledLaneSampler(np.full(3, 10**9), 64, 10, (p,)), 1500)
    stay = np.array([len(visit.starts) for lane in lanes for visit in lane[1:]])
    assert len(stay) > 15_000
    for chunks in range(1, 8):
        expected = p * (1 - p) ** (chunks - 1)
        assert abs((stay == chunks).mean() - expected) < 4 * np.sqrt(expected / len(stay))
    assert abs(stay.mean() - 1 / p) < 0.15


def test_a_restart_never_prolongs_an_episode() -> None:
    for lane in visits_of(ShuffledLaneSampler(np.full(4, 30), 16, 10, (0.05,)), 1000):
        assert {len(visit.starts) for visit in lane} == {1, 2, 3}


def test_a_mixture_of_restarts_is_spread_evenly_over_the_lanes() -> None:
    lanes = visits_of(ShuffledLaneSampler(np.full(5, 1000), 9, 10, (0.5, 0.1, 0.0)), 12_000)
    mean = np.array([np.mean([len(visit.starts) for visit in lane[1:]]) for lane in lanes])
    assert np.allclose(mean[:3], 2, rtol=0.1)
    assert np.allclose(mean[3:6], 10, rtol=0.15)
    assert np.array_equal(mean[6:], [100, 100, 100])


def test_lanes_that_would_march_in_step_are_spread_over_the_episode() -> None:
    at = ShuffledLaneSampler(np.full(10, 1000), 100, 10, [0.0]).at(np.array([1000]))
    quarters = np.bincount(at.start[0] // 250, minlength=4)
    assert quarters.min() >= 12


@pytest.mark.parametrize("restart", [(0.0,), (0.3, 0.1, 0.02, 0.0)])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_play_the_rows_of_the_whole(restart: tuple[float, ...], ranks: int) -> None:
    steps = np.arange(400)
    whole = ShuffledLaneSampler(LENGTHS, 12, 3, restart, seed=7).at(steps)
    each = 12 // ranks
    for rank in range(ranks):
        rows = slice(rank * each, (rank + 1) * each)
        part = ShuffledLaneSampler(LENGTHS, each, 3, restart, 7, first_lane=rank * each, all_lanes=12).at(steps)
        assert np.array_equal(part.episode, whole.episode[:, rows])
        assert np.array_equal(part.start, whole.start[:, rows])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"lanes": 0}, "lanes=0"),
        ({"chunk_length": 0}, "chunk_length=0"),
        ({"restart": (1.0,)}, r"restart=\[1.0\]"),
        ({"restart": (-0.1,)}, r"restart=\[-0.1\]"),
        ({"restart": ()}, r"restart=\[\]"),
    ],
)
def test_an_impossible_schedule_is_refused_with_its_value(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(MemUPError, match=named):
        ShuffledLaneSampler(**{"lengths": LENGTHS, "lanes": 2, "chunk_length": 3} | wrong)


def curriculum(longest: dict[int, int], lengths: Any = LENGTHS, **more: Any) -> CurriculumSampler:
    lanes: dict[str, Any] = {"lanes": 6, "chunk_length": 3, "restart": (0.2, 0.0), "seed": 5}
    return CurriculumSampler(longest, lengths, **lanes | more)


some_stages = st.dictionaries(st.integers(1, 60), st.integers(1, 40), max_size=3).filter(
    lambda stages: all(a < b for a, b in pairwise([0, *(stages[end] for end in sorted(stages))]))
)


@settings(max_examples=40, deadline=None)
@given(some_lengths, some_stages, st.integers(0, 3))
def test_no_stage_plays_an_episode_longer_than_it_says(lengths: Any, longest: dict[int, int], seed: int) -> None:
    lengths[0] = 1  # one that every stage may play
    schedule = curriculum(longest, lengths, seed=seed)
    steps = np.arange(100)
    at = schedule.at(steps)
    limits = np.array([min((n for end, n in longest.items() if step < end), default=40) for step in steps])
    assert (lengths[at.episode] <= limits[:, None]).all()
    assert (at.start < lengths[at.episode]).all()
    for step in steps.tolist():
        assert np.isin(at.episode[step], schedule.admitted(step)).all()
        assert (lengths[schedule.admitted(step)] <= limits[step]).all()


def test_where_a_stage_ends_all_lanes_begin_another_episode_and_later_all_episodes_come() -> None:
    schedule = curriculum({40: 7, 100: 12})
    at = schedule.at(np.arange(400))
    assert (at.start[[0, 40, 100]] == 0).all()
    assert set(at.episode[:40].ravel()) == {0, 1, 4}
    assert set(at.episode[40:100].ravel()) == {0, 1, 2, 4}
    assert set(at.episode[100:].ravel()) == {0, 1, 2, 3, 4}


def test_without_stages_a_curriculum_is_the_schedule_of_its_lanes() -> None:
    steps = np.arange(200)
    plain = ShuffledLaneSampler(LENGTHS, 6, 3, (0.2, 0.0), seed=5).at(steps)
    assert all(np.array_equal(a, b) for a, b in zip(curriculum({}).at(steps), plain, strict=True))


def test_steps_of_a_curriculum_asked_for_in_any_order_are_the_same() -> None:
    whole = curriculum({20: 7, 50: 12}).at(np.arange(120))
    steps = np.random.default_rng(0).permutation(120)
    schedule = curriculum({20: 7, 50: 12})
    for some in np.array_split(steps, 30):
        at = schedule.at(some)
        assert np.array_equal(at.episode, whole.episode[some])
        assert np.array_equal(at.start, whole.start[some])


def test_ranks_play_the_rows_of_a_whole_curriculum() -> None:
    steps = np.arange(120)
    whole = curriculum({20: 7, 50: 12}).at(steps)
    part = curriculum({20: 7, 50: 12}, lanes=3, first_lane=3, all_lanes=6)
    assert part.lane.tolist() == [3, 4, 5]
    assert np.array_equal(part.at(steps).episode, whole.episode[:, 3:])


@pytest.mark.parametrize(
    ("longest", "named"),
    [
        ({0: 7}, "rise together"),
        ({10: 0}, "rise together"),
        ({10: 12, 20: 7}, r"curriculum=\{10: 12, 20: 7\}.*rise together"),
        ({10: 7, 20: 7}, "rise together"),
    ],
)
def test_an_impossible_curriculum_is_refused_with_its_value(longest: dict[int, int], named: str) -> None:
    with pytest.raises(MemUPError, match=named):
        curriculum(longest)


def test_a_curriculum_without_an_episode_for_its_first_stage_is_refused() -> None:
    with pytest.raises(MemUPError, match="at most 4 steps at first, but the shortest has 5"):
        curriculum({10: 4}, np.array([5, 9]))
