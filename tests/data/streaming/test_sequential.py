"""Evaluation reads each step of each episode once; horizons that lanes have by default."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.data.streaming.samplers import (
    SequentialSampler,
    ShuffledLaneSampler,
    restart_probabilities,
)
from tests.data.streaming.some_lengths import LENGTHS, some_lengths


def covered(
    schedule: SequentialSampler, lengths: npt.NDArray[np.int64], chunk_length: int
) -> dict[int, list[tuple[int, int]]]:
    """(run step, episode step) of everything that is read, by episode."""
    at = schedule.at(np.arange(schedule.steps))
    out: dict[int, list[tuple[int, int]]] = {}
    for step in range(schedule.steps):
        for lane in range(schedule.lanes):
            episode, start = int(at.episode[step, lane]), int(at.start[step, lane])
            if episode >= 0:
                stop = min(start + chunk_length, int(lengths[episode]))
                out.setdefault(episode, []).extend((step, t) for t in range(start, stop))
    return out


@settings(max_examples=40, deadline=None)
@given(some_lengths, st.integers(1, 20), st.integers(1, 50), st.data())
def test_evaluation_reads_each_step_of_each_episode_once_and_in_order(
    lengths: Any, lanes: int, chunk_length: int, data: st.DataObject
) -> None:
    subset = data.draw(st.none() | st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True))
    schedule = SequentialSampler(lengths, lanes, chunk_length, None if subset is None else np.array(subset))
    read = covered(schedule, lengths, chunk_length)
    assert set(read) == set(range(len(lengths)) if subset is None else subset)
    for episode, steps in read.items():
        assert [t for _, t in sorted(steps)] == list(range(lengths[episode]))


def test_evaluation_has_no_more_lanes_than_episodes() -> None:
    assert SequentialSampler(LENGTHS, 64, 3).lanes == len(LENGTHS)


def test_evaluation_of_equal_episodes_wastes_no_step() -> None:
    schedule = SequentialSampler(np.full(8, 20), 4, 5)
    assert schedule.steps == 8 * 20 // (4 * 5)


def test_evaluation_of_no_episodes_has_no_steps() -> None:
    assert SequentialSampler(LENGTHS, 4, 3, np.zeros(0, np.int64)).steps == 0


def test_past_the_end_of_an_evaluation_every_lane_idles() -> None:
    schedule = SequentialSampler(LENGTHS, 2, 3)
    at = schedule.at(np.arange(schedule.steps + 5))
    assert (at.episode[: schedule.steps, 0] >= 0).all()
    assert (at.episode[schedule.steps :] == -1).all()


@given(st.integers(1, 10**6), st.integers(1, 300), st.integers(1, 100))
def test_default_horizons_reach_from_a_chunk_to_twice_the_longest_episode(
    longest: int, lanes: int, chunk_length: int
) -> None:
    found = restart_probabilities(longest, lanes, chunk_length)
    assert found.shape == (lanes,)
    assert ((found > 0) & (found < 1)).all()
    assert (np.diff(found) <= 0).all()
    if lanes > 1:
        assert found[0] == pytest.approx(0.999)
    assert found[-1] == pytest.approx(min(0.999, chunk_length / max(2 * longest, chunk_length)))


def test_lanes_have_horizons_of_their_own_by_default() -> None:
    lengths = np.full(50, 1000)
    starts = ShuffledLaneSampler(lengths, 64, 10).at(np.arange(3000)).start
    assert (starts[:, 0] == 0).mean() > 0.99  # one lane does nothing but begin
    assert (starts[:, -1] > 500).mean() > 0.3  # the last one plays far into its episodes
    ranks = [ShuffledLaneSampler(lengths, 32, 10, first_lane=first, all_lanes=64) for first in (0, 32)]
    halves = [sampler.at(np.arange(3000)).start for sampler in ranks]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), starts)


def test_no_chunk_is_longer_than_the_longest_episode() -> None:
    """Of chunks of 500 steps, episodes of 30 would leave nine tenths of the network's work to padding."""
    lengths = np.array([30, 7, 90])
    assert SequentialSampler(lengths, 4, 500).chunk_length == 90
    assert SequentialSampler(lengths, 4, 500, np.array([0, 1])).chunk_length == 30
    assert SequentialSampler(lengths, 4, 20).chunk_length == 20
