"""Sampled values: steps from all over the episodes, what comes once at an end of them too."""

from __future__ import annotations

import numpy as np
import pytest

from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming import training_lanes
from memup_lightning.data.streaming.value_sample import sample_values
from memup_lightning.datamodules import TMazeDataModule


def numbered(*lengths: int) -> ArrayEpisodes:
    """Episodes whose every step shows its number from the beginning and from the end; only multiples of 50 are outcomes."""
    steps = np.concatenate([np.arange(n) for n in lengths])
    to_end = np.concatenate([np.arange(n)[::-1] for n in lengths])
    has_outcome = steps % 50 == 0
    outcome = np.where(has_outcome, steps, np.nan).astype(np.float32)
    return ArrayEpisodes({"x": np.stack([steps, to_end], 1), OUTCOME: outcome, HAS_OUTCOME: has_outcome}, lengths)


def test_steps_come_from_all_over_the_episodes_and_often_from_their_ends() -> None:
    x = sample_values(numbered(20_000, 20_000), ["x"], 3)["x"]
    assert len(x) == 24_576
    assert x.min() == 0
    assert x.max() == 19_999
    for from_an_end in x.T:
        assert 300 < (from_an_end == 0).sum() < 900
        assert 0.1 < (from_an_end > 10_000).mean() < 0.6


def test_steps_without_an_outcome_give_none() -> None:
    y = sample_values(numbered(1000, 30), [OUTCOME], 0)[OUTCOME]
    assert len(y) > 1024
    assert len(np.unique(y)) > 10
    assert not (y % 50).any()


def test_outcomes_that_are_rare_are_looked_for() -> None:
    has_outcome = np.arange(100_000) == 50_000 + np.arange(100_000) // 100_000
    source = ArrayEpisodes({OUTCOME: has_outcome.astype(np.float32), HAS_OUTCOME: has_outcome}, [100_000])
    assert len(sample_values(source, [OUTCOME], 0)[OUTCOME]) < 10  # and ends


def test_the_junction_of_a_million_steps_is_in_the_sample() -> None:
    data = TMazeDataModule(length=1_000_000, num_train=8)
    reward = sample_values(data.episodes("train"), [OUTCOME], 0)[OUTCOME]
    assert {-3.0, 4.0} <= set(np.unique(reward).round(3).tolist())


def test_every_rank_samples_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(training_lanes, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(training_lanes, "share_of_lanes", lambda lanes, option: lanes // 2)
        data = TMazeDataModule(length=20, num_train=8, lanes=64, seed=1)
        data.setup("fit")
        assert data.training_lanes().schedule.first_lane == rank * 32
        found.append(data.training_lanes().sample_values(["reward"])["reward"])
    assert np.array_equal(*found)


def test_all_steps_are_equally_likely_where_the_ends_are_not_asked_for() -> None:
    lengths = (10, 9_990)
    x = sample_values(numbered(*lengths), ["x"], 3, ends=False)["x"]
    of_short = x.sum(1) == lengths[0] - 1
    assert 0 < of_short.sum() < 60  # 25 expected
    long = x[~of_short, 0]
    assert abs(long.mean() - lengths[1] / 2) < 100
    assert (np.diff(long) >= 0).all()
    assert len(sample_values(numbered(1), ["x"], 0, ends=False)["x"]) > 1
