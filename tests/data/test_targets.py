"""U_t: the selected steps at or after t, found in one pass and kept as candidates."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.data.targets import (
    NOWHERE,
    Proportional,
    SuffixMaxima,
    TargetTable,
    TopK,
)
from memup_lightning.data.targets.candidates import Candidates
from memup_lightning.datamodules import CopyDataModule
from memup_lightning.exceptions import MemUPError
from tests.data.scored_episodes import CPU, Scores, best_of_suffix, fill, selected, table_for

tied = st.integers(0, 4).map(float)
untied = st.floats(-3, 3, width=32)


@st.composite
def episodes_of_scores(draw: st.DrawFn) -> list[Scores]:
    values = draw(st.sampled_from([tied, untied])) | st.just(-np.inf)
    episodes = draw(st.lists(st.lists(values, min_size=5, max_size=30), min_size=1, max_size=3))
    return [np.array(score, np.float32) for score in episodes]


@settings(max_examples=150, deadline=None)
@given(episodes_of_scores(), st.integers(1, 5), st.lists(st.integers(0, 30), max_size=5))
def test_the_candidates_hold_the_top_k_of_every_suffix(scores: list[Scores], k: int, blocks: list[int]) -> None:
    table = table_for(TopK(k), scores, blocks)
    for episode, score in enumerate(scores):
        for start in range(len(score)):
            assert sorted(selected(table, episode, start)) == sorted(best_of_suffix(score, start, k))


def test_long_random_scores_give_the_top_k_of_every_suffix_within_the_default_capacity() -> None:
    rng = np.random.default_rng(0)
    scores = [rng.random(20_000, np.float32) for _ in range(4)]
    for k in (1, 3, 5):
        table = table_for(TopK(k), scores, list(range(500, 20_000, 500)))
        for episode, score in enumerate(scores):
            for start in (0, 1, 17, 500, 9_999, 19_000, 19_990, 19_999):
                assert sorted(selected(table, episode, start)) == sorted(best_of_suffix(score, start, k))


@pytest.mark.parametrize("k", [1, 4])
def test_only_steps_that_are_among_the_top_k_of_some_suffix_are_kept(k: int) -> None:
    score = np.random.default_rng(0).random(2000).astype(np.float32)
    found = SuffixMaxima(1, k, 2000, CPU)
    found.extend(torch.from_numpy(score)[None], torch.arange(2000)[None])
    ever = {t for t in range(2000) if (score[t + 1 :] >= score[t]).sum() < k}
    assert set(found.position[0].tolist()) == ever


def test_of_equally_uncertain_steps_the_later_one_is_chosen() -> None:
    table = table_for(TopK(2), [np.array([3, 1, 1, 0], np.float32)], [])
    assert sorted(selected(table, 0, 0)) == [0, 2]


def test_places_without_a_step_are_nowhere_near_the_end() -> None:
    table = table_for(TopK(3), [np.array([5, 4, 3, 2, 1], np.float32)], [])
    assert sorted(table.select(np.array([0]), np.array([4]))[0].tolist()) == [4, NOWHERE, NOWHERE]
    assert table.select(np.array([0]), np.array([5]))[0].tolist() == [NOWHERE] * 3


def test_an_episode_without_selectable_steps_has_no_targets() -> None:
    table = table_for(TopK(1), [np.full(6, -np.inf, np.float32), np.arange(6, dtype=np.float32)], [3])
    assert selected(table, 0, 0) == []
    assert selected(table, 1, 0) == [5]


def test_before_the_first_refresh_there_are_no_targets() -> None:
    table = TargetTable(TopK(2), 2)
    assert table.num_refreshes == 0
    assert (table.select(np.array([0, 1]), np.array([0, 0])) == NOWHERE).all()


def test_a_refresh_replaces_the_targets_of_its_episodes_alone_and_not_before_its_end() -> None:
    table = table_for(TopK(1), [np.array([1, 0, 0], np.float32)] * 3, [])
    collector = table.collect(np.array([1]), CPU)
    collector.extend(torch.tensor([[0.0, 0.0, 7.0]]), torch.arange(3)[None], torch.ones(1, 3, dtype=torch.bool))
    assert selected(table, 1, 0) == [0]
    collector.finish()
    assert [selected(table, episode, 0) for episode in range(3)] == [[0], [2], [0]]


def test_scored_says_which_episodes_were() -> None:
    table = TargetTable(TopK(1), 3)
    collector = table.collect(np.array([2]), CPU)
    collector.extend(torch.rand(1, 3), torch.arange(3)[None], torch.ones(1, 3, dtype=torch.bool))
    collector.finish()
    assert table.scored.tolist() == [False, False, True]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(4, 12), st.lists(st.integers(0, 120), max_size=6), st.integers(0, 2))
def test_thinning_keeps_the_k_best_and_invents_no_step(k: int, capacity: int, blocks: list[int], kind: int) -> None:
    falling = -np.arange(120, dtype=np.float32)
    score = [falling, np.floor(falling / 7), falling + np.random.default_rng(k).normal(size=120).astype(np.float32) * 5]
    table = table_for(TopK(k), [score[kind]], blocks, capacity)
    assert sorted(selected(table, 0, 0)) == sorted(best_of_suffix(score[kind], 0, k))
    position, scores = (x[0] for x in table.take(np.array([0])))
    kept = position != NOWHERE
    assert kept.sum() <= capacity
    assert np.array_equal(score[kind][position[kept]], scores[kept])
    assert (np.diff(position[kept]) > 0).all()


def test_thinning_leaves_targets_along_the_whole_episode() -> None:
    score = -np.arange(1000, dtype=np.float32)
    table = table_for(TopK(1), [score], list(range(100, 1000, 100)), capacity=16)
    found = [selected(table, 0, start) for start in range(0, 800, 50)]
    assert all(found)
    assert len({t for (t,) in found}) >= 5


def test_candidates_that_are_replaced_again_and_again_stay_apart_and_take_no_more_room() -> None:
    rng = np.random.default_rng(0)
    kept, expected = Candidates(50, 2, 16), dict[int, tuple[npt.NDArray[np.int64], Scores]]()
    for _ in range(200):
        episodes = rng.choice(50, size=8, replace=False)
        count = rng.integers(0, 17, size=8)
        there = np.arange(16) < count[:, None]
        position = np.where(there, np.sort(rng.choice(1000, size=(8, 16)), axis=1), NOWHERE)
        score = np.where(there, rng.normal(size=(8, 16)), -np.inf).astype(np.float32)
        kept.put(episodes, position, score)
        expected |= {e: (p[p != NOWHERE], s[p != NOWHERE]) for e, p, s in zip(episodes, position, score, strict=True)}
    for twin in (kept, Candidates(50, 2, 16)):
        twin.load_state_dict(kept.state_dict())
        for episode, (position, score) in expected.items():
            found = [x[0, : len(position)] for x in twin.take(np.array([episode]))]
            assert np.array_equal(found[0], position)
            assert np.array_equal(found[1], score)
    assert len(kept._position) < 2 * kept.count.sum()


def test_a_million_episodes_of_a_few_candidates_take_less_than_200_megabytes() -> None:
    episodes, each = 1_000_000, 8
    kept = Candidates(episodes, 1, 64)
    tracemalloc.start()
    block = np.tile(np.arange(each), (episodes // 10, 1))
    for begin in range(0, episodes, len(block)):
        kept.put(np.arange(begin, begin + len(block)), block, block.astype(np.float32))
    assert tracemalloc.get_traced_memory()[0] < 200e6
    tracemalloc.stop()


def test_more_targets_than_an_episode_has_steps_are_refused_with_both_numbers() -> None:
    data = CopyDataModule(length=3, copied=1, num_train=2, num_val=2, selector=TopK(6))
    with pytest.raises(MemUPError, match=r"num_targets=6.*episode 0 has 5 steps"):
        data.setup("fit")
    CopyDataModule(length=3, copied=1, num_train=2, num_val=2, selector=TopK(5)).setup("fit")


def test_an_episode_with_fewer_steps_than_targets_has_all_of_them() -> None:
    table = table_for(TopK(4), [np.arange(2, dtype=np.float32), np.arange(6, dtype=np.float32)], [])
    assert sorted(table.select(np.array([0]), np.array([0]))[0].tolist()) == sorted([0, 1, NOWHERE, NOWHERE])


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def test_a_table_comes_back_from_a_checkpoint_as_it_was() -> None:
    scores = [np.random.default_rng(e).random(20).astype(np.float32) for e in range(3)]
    selector = Proportional(2)
    table = table_for(selector, scores, [7])
    state = through_a_file(table.state_dict())
    other = TargetTable(selector, 3)
    other.load_state_dict(state)
    assert other.num_refreshes == table.num_refreshes
    assert other.scored.all()
    for start in range(20):
        here = np.full(3, start)
        assert np.array_equal(other.select(np.arange(3), here), table.select(np.arange(3), here))


def test_a_restored_table_does_not_share_memory_with_the_checkpoint() -> None:
    table = table_for(TopK(1), [np.array([0, 9, 1], np.float32)], [])
    state = table.state_dict()
    other = TargetTable(TopK(1), 1)
    other.load_state_dict(state)
    fill(other, [np.array([9, 0, 1], np.float32)], [])
    assert selected(table, 0, 0) == [1]
    assert selected(other, 0, 0) == [0]


def test_a_checkpoint_of_another_selector_is_refused() -> None:
    state = table_for(TopK(1), [np.zeros(9, np.float32)], []).state_dict()
    with pytest.raises(MemUPError, match="same selector and number of episodes"):
        TargetTable(TopK(1), 2).load_state_dict(state)
