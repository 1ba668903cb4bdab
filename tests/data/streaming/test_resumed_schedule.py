"""A schedule begins at any step with what the checkpoint holds of its lanes, and works out nothing of what came before."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.callbacks.memory_usage import tensors
from memup_lightning.data.streaming import training_lanes
from memup_lightning.data.streaming.curriculum import CurriculumSampler
from memup_lightning.data.streaming.samplers import ShuffledLaneSampler, Visits
from memup_lightning.datamodules import TMazeDataModule

stages = st.dictionaries(st.integers(1, 900), st.integers(1, 40), max_size=2).filter(
    lambda longest: all(a < b for a, b in pairwise([0, *(longest[end] for end in sorted(longest))]))
)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12).map(lambda x: np.array([1, *x])),
    each=st.integers(1, 3),
    ranks=st.integers(1, 3),
    longest=stages,
    restart=st.sampled_from([None, (0.0,), (0.999, 0.3, 0.0)]),
    step=st.integers(0, 1000),
)
def test_positions_after_a_resumption_are_those_of_the_uncut_schedule_on_any_number_of_ranks(
    lengths: Any, each: int, ranks: int, longest: dict[int, int], restart: Any, step: int
) -> None:
    def make(first: int, lanes: int) -> CurriculumSampler:
        return CurriculumSampler(longest, lengths, lanes, 3, restart, 5, first_lane=first, all_lanes=each * ranks)

    whole = make(0, each * ranks)
    saved = whole.visits(step)
    steps = step + np.arange(200)
    expected = make(0, each * ranks).at(steps)
    for rank in range(ranks):
        resumed = make(rank * each, each)
        resumed.start_from(step, Visits(*(x[resumed.lane] for x in saved)))
        found = resumed.at(steps)
        assert np.array_equal(found.episode, expected.episode[:, resumed.lane])
        assert np.array_equal(found.start, expected.start[:, resumed.lane])
        again = resumed.visits(step + 150)  # of a run that is resumed a second time
        assert all(np.array_equal(x, y[resumed.lane]) for x, y in zip(again, whole.visits(step + 150), strict=True))


def test_a_resumed_schedule_works_out_nothing_of_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out: list[int] = []
    plain = ShuffledLaneSampler._work_out
    monkeypatch.setattr(
        ShuffledLaneSampler, "_work_out", lambda self: worked_out.append(int(self._visit.min())) or plain(self)
    )
    sampler = ShuffledLaneSampler(np.full(100, 50), 8, 10, (0.999, 0.0))
    worked_out.clear()
    sampler.start_from(Visits(np.full(8, 10**8), np.full(8, 10**9)))
    at = sampler.at(10**9 + np.arange(64))
    assert (at.start[0] == 0).all()
    assert len(worked_out) <= 2
    assert min(worked_out) >= 10**8


def data(num_workers: int = 0) -> TMazeDataModule:
    made = TMazeDataModule(
        length=30, num_train=9, lanes=6, chunk_length=4, chunks_per_epoch=200, seed=1, num_workers=num_workers
    )
    made.setup("fit")
    return made


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_datamodule_yields_the_chunks_from_where_it_was_resumed(num_workers: int) -> None:
    whole = data()
    uncut = list(whole.train_dataloader())
    whole.training_lanes().num_consumed = 150
    resumed = data(num_workers)
    resumed.load_state_dict(whole.state_dict())
    for chunk, expected in zip(resumed.train_dataloader(), uncut[150:], strict=False):
        assert chunk.step == expected.step
        assert all(a.equal(b) for a, b in zip(tensors(chunk), tensors(expected), strict=True))


def test_each_of_two_ranks_resumes_its_own_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = data()
    alone.training_lanes().num_consumed = 150
    saved = alone.state_dict()
    steps = np.arange(150, 250)
    expected = alone.training_lanes().schedule.at(steps)
    monkeypatch.setattr(training_lanes, "share_of_lanes", lambda lanes, option: lanes // 2)
    for rank in range(2):
        monkeypatch.setattr(training_lanes, "rank", lambda rank=rank: rank)
        resumed = data()
        resumed.load_state_dict(saved)
        lanes = resumed.training_lanes()
        assert np.array_equal(lanes.schedule.at(steps).episode, expected.episode[:, 3 * rank : 3 * rank + 3])
        assert np.array_equal(lanes.upcoming_episodes(100), np.unique(expected.episode))
        assert all(
            a.equal(b)
            for a, b in zip(*(x["visits"].values() for x in (lanes.state_dict(), saved["lanes"])), strict=True)
        )
