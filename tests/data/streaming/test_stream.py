"""Chunks hold what the source holds, at the places that the schedule names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.data.streaming.samplers import SequentialSampler, ShuffledLaneSampler
from tests.data.streaming.streams import (
    LENGTHS,
    SCHEDULES,
    assert_same,
    episodes,
    flat,
    run_over,
    step_of,
    stream_of,
    task_of,
)


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("lag", [0, 1, 3])
def test_inputs_are_the_steps_of_the_source_at_their_lag(kind: str, lag: int) -> None:
    source, schedule = episodes(), SCHEDULES[kind]
    steps = getattr(schedule, "steps", 40)
    chunks = list(stream_of(source, schedule, steps, task=task_of(source, lag=lag)))
    for lane, place, episode, step, chunk in run_over(schedule, chunks):
        assert np.array_equal(chunk.inputs["see"][lane, place], step_of(source, "see", episode, step))
        assert np.array_equal(chunk.inputs["do"][lane, place], step_of(source, "do", episode, step - lag))


def test_before_the_first_step_stand_the_fill_values() -> None:
    source = episodes()
    chunk = next(iter(stream_of(source, ShuffledLaneSampler(LENGTHS, 4, 5))))
    assert (chunk.inputs["do"][:, 0] == -1).all()
    window = chunk.windows(3)
    assert (window["do"][:, 0, :2] == -1).all()
    assert (window["see"][:, 0, :2] == 0).all()


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("window", [1, 2, 4])
def test_contexts_are_the_window_up_to_their_step(kind: str, window: int) -> None:
    source, schedule = episodes(), SCHEDULES[kind]
    steps = getattr(schedule, "steps", 40)
    chunks = list(stream_of(source, schedule, steps, task=task_of(source, window)))
    for lane, place, episode, step, chunk in run_over(schedule, chunks):
        for name in ("see", "do"):
            wanted = [step_of(source, name, episode, t) for t in range(step - window + 1, step + 1)]
            assert np.array_equal(chunk.windows(window)[name][lane, place], np.stack(wanted))


@pytest.mark.parametrize("kind", SCHEDULES)
def test_outcomes_and_their_marks_are_the_sources(kind: str) -> None:
    source, schedule = episodes(), SCHEDULES[kind]
    chunks = list(stream_of(source, schedule, getattr(schedule, "steps", 40)))
    for lane, place, episode, step, chunk in run_over(schedule, chunks):
        exists = step_of(source, HAS_OUTCOME, episode, step)
        assert chunk.outcome[lane, place] == (step_of(source, OUTCOME, episode, step) if exists else 0)
        assert chunk.has_outcome[lane, place] == exists
        assert chunk.eval_mask[lane, place] == (exists & step_of(source, EVAL_MASK, episode, step))


@pytest.mark.parametrize("kind", SCHEDULES)
def test_valid_marks_the_steps_that_exist_and_no_other(kind: str) -> None:
    source, schedule = episodes(), SCHEDULES[kind]
    chunks = list(stream_of(source, schedule, getattr(schedule, "steps", 40)))
    expected = [torch.zeros(schedule.lanes, schedule.chunk_length, dtype=torch.bool) for _ in chunks]
    where = {id(chunk): mask for chunk, mask in zip(chunks, expected, strict=True)}
    for lane, place, _, _, chunk in run_over(schedule, chunks):
        where[id(chunk)][lane, place] = True
    for chunk, mask in zip(chunks, expected, strict=True):
        assert torch.equal(chunk.valid, mask)
        assert not chunk.eval_mask[~chunk.valid].any()
        assert not chunk.has_outcome[~chunk.valid].any()


@pytest.mark.parametrize("kind", SCHEDULES)
def test_is_first_marks_the_chunks_that_begin_an_episode(kind: str) -> None:
    source, schedule = episodes(), SCHEDULES[kind]
    for chunk in stream_of(source, schedule, getattr(schedule, "steps", 40)):
        assert torch.equal(chunk.is_first, (chunk.start == 0) & (chunk.episode >= 0))


def test_a_lane_with_nothing_left_to_play_has_no_episode_and_no_valid_step() -> None:
    schedule = SequentialSampler(np.array([20, 5]), 2, 5)
    chunks = list(stream_of(episodes(np.array([20, 5])), schedule, schedule.steps))
    assert [chunk.episode.tolist() for chunk in chunks] == [[0, 1], [0, -1], [0, -1], [0, -1]]
    assert not any(chunk.valid[1].any() or chunk.is_first[1] for chunk in chunks[1:])


def test_training_chunks_without_use_for_their_own_contexts_carry_none() -> None:
    source, schedule = episodes(), SCHEDULES["training"]
    bare = list(stream_of(source, schedule, contexts=False))
    whole = list(stream_of(source, schedule))
    for chunk, other in zip(bare, whole, strict=True):
        assert chunk.context == {}
        for name in ("see", "do"):
            assert torch.equal(chunk.inputs[name], other.inputs[name])


def test_chunks_read_one_by_one_are_those_read_in_blocks() -> None:
    source, schedule = episodes(), SCHEDULES["training"]
    stream = stream_of(source, schedule, probes=3)
    together = stream.read(np.arange(30))
    assert_same([stream.read(np.array([step]))[0] for step in range(30)], together)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(workers: int) -> None:
    stream = stream_of(episodes(), SCHEDULES["training"], 37, probes=2)
    loader: DataLoader[Chunk] = DataLoader(stream, batch_size=None, num_workers=workers)
    assert_same(list(loader), list(stream))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_resumed_in_the_middle_yields_the_tail(workers: int) -> None:
    source = episodes()
    whole = list(stream_of(source, SCHEDULES["training"], 50, probes=2))
    stream = stream_of(source, ShuffledLaneSampler(LENGTHS, 4, 5, (0.3, 0.0), seed=3), 50, probes=2)
    stream.set_range(23, 50)
    assert_same(list(DataLoader(stream, batch_size=None, num_workers=workers)), whole[23:])
    assert len(stream) == 50


def test_persistent_workers_see_a_range_set_after_they_started() -> None:
    stream = stream_of(episodes(), SCHEDULES["training"], 50)
    loader: DataLoader[Chunk] = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True)
    first = list(loader)
    stream.set_range(50, 60)
    second = list(loader)
    assert_same(first + second, stream.read(np.arange(60)))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6).map(np.array), st.integers(1, 5), st.integers(1, 8))
def test_an_evaluation_stream_yields_every_outcome_once(lengths: Any, lanes: int, chunk_length: int) -> None:
    source = episodes(lengths)
    schedule = SequentialSampler(lengths, lanes, chunk_length)
    found = torch.cat([c.outcome[c.has_outcome] for c in stream_of(source, schedule, schedule.steps)])
    assert np.array_equal(np.sort(found.numpy()), np.sort(source.arrays[OUTCOME][source.arrays[HAS_OUTCOME]]))


def test_an_episode_changes_only_the_lanes_that_play_it() -> None:
    schedule = SCHEDULES["training"]
    source, other = episodes(), episodes()
    first = int(LENGTHS[:2].sum())
    for name in ("see", OUTCOME):
        other.arrays[name][first : first + LENGTHS[2]] += 100
    pairs = list(zip(stream_of(source, schedule, probes=2), stream_of(other, schedule, probes=2), strict=True))
    touched = [bool((a.inputs["see"] != b.inputs["see"]).any()) for a, b in pairs]
    assert any(touched)
    for a, b in pairs:
        rest = a.episode != 2
        for (path, x), y in zip(flat(a).items(), flat(b).values(), strict=True):
            assert torch.equal(x[rest], y[rest]), path
