"""Chunks hold what the source holds, at the places that the schedule names; targets are joined at the step of use."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming import stream as stream_module
from memup_lightning.data.streaming.curriculum import CurriculumSampler
from memup_lightning.data.streaming.samplers import LaneSampler, SequentialSampler, ShuffledLaneSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.data.streaming.target_join import TargetJoin
from memup_lightning.data.targets import NOWHERE, Selector, TargetTable, TopK
from memup_lightning.datamodules.recorded.tmaze import TMazeEpisodes
from memup_lightning.envs import TMazeEnv, TMazeRules
from memup_lightning.rl.spaces import space_fields
from memup_lightning.specs import FieldSpec, TaskSpec

LENGTHS = np.array([9, 1, 17, 30, 4, 12])


def episodes(lengths: npt.NDArray[np.int64] = LENGTHS, seed: int = 0) -> ArrayEpisodes:
    rng = np.random.default_rng(seed)
    steps = int(lengths.sum())
    arrays = {
        "see": rng.normal(size=(steps, 2)).astype(np.float32),
        "do": rng.integers(0, 5, steps, np.int32),
        OUTCOME: rng.normal(size=steps).astype(np.float32),
        HAS_OUTCOME: rng.random(steps) < 0.8,
        EVAL_MASK: rng.random(steps) < 0.5,
    }
    return ArrayEpisodes(arrays, lengths, {"do": FieldSpec((), "int32", "token", 5)})


def task_of(source: ArrayEpisodes, window: int = 3, lag: int = 1) -> TaskSpec:
    return TaskSpec(source.fields, inputs={"see": 0, "do": lag}, context=("see", "do"), window=window)


def step_of(source: ArrayEpisodes, name: str, episode: int, step: int) -> npt.NDArray[Any]:
    """One step of a field as the arrays hold it; -1 for tokens and 0 for numbers where there is none."""
    if not 0 <= step < source.lengths[episode]:
        return np.full(source.fields[name].shape, -1 if name == "do" else 0, source.arrays[name].dtype)
    array: npt.NDArray[Any] = source.arrays[name][int(source.lengths[:episode].sum()) + step]
    return array


def stream_of(source: ArrayEpisodes, schedule: LaneSampler, epoch: int = 40, **kwargs: Any) -> ChunkStream:
    return ChunkStream(source, kwargs.pop("task", task_of(source)), schedule, epoch, **kwargs)


def flat(part: Any, prefix: str = "") -> dict[str, Tensor]:
    """Every tensor of a chunk by its path."""
    if isinstance(part, Tensor):
        return {prefix: part}
    if part is None or isinstance(part, int):
        return {}
    items = part.items() if isinstance(part, dict) else vars(part).items()
    return {path: x for name, value in items for path, x in flat(value, f"{prefix}.{name}").items()}


def assert_same(chunks: list[Chunk], others: list[Chunk]) -> None:
    assert len(chunks) == len(others)
    for one, other in zip(chunks, others, strict=True):
        a, b = flat(one), flat(other)
        assert one.step == other.step
        assert a.keys() == b.keys()
        for path in a:
            assert a[path].dtype == b[path].dtype, path
            assert torch.equal(a[path], b[path]), path


# --- chunks against the source


def run_over(schedule: LaneSampler, chunks: list[Chunk]) -> list[tuple[int, int, int, int, Chunk]]:
    """(lane, place, episode, step, chunk) of every step that exists in the chunks."""
    at = schedule.at(np.arange(len(chunks)))
    return [
        (lane, place, int(at.episode[n, lane]), int(at.start[n, lane]) + place, chunk)
        for n, chunk in enumerate(chunks)
        for lane in range(schedule.lanes)
        for place in range(schedule.chunk_length)
        if at.episode[n, lane] >= 0 and at.start[n, lane] + place < LENGTHS[at.episode[n, lane]]
    ]


SCHEDULES = {
    "training": ShuffledLaneSampler(LENGTHS, 4, 5, (0.3, 0.0), seed=3),
    "evaluation": SequentialSampler(LENGTHS, 4, 7),
}


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


# --- one episode's data and another's lane


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


# --- probes


def test_probes_are_steps_of_the_lanes_own_episode_with_their_context() -> None:
    source = episodes()
    for chunk in stream_of(source, SCHEDULES["training"], probes=4):
        assert chunk.probes is not None
        for lane in range(4):
            episode = int(chunk.episode[lane])
            for probe in range(4):
                step = int(chunk.probes.position[lane, probe])
                assert 0 <= step < LENGTHS[episode]
                exists = bool(step_of(source, HAS_OUTCOME, episode, step))
                assert chunk.probes.valid[lane, probe] == exists
                assert chunk.probes.outcome[lane, probe] == (step_of(source, OUTCOME, episode, step) if exists else 0)
                wanted = [step_of(source, "see", episode, t) for t in range(step - 2, step + 1)]
                assert np.array_equal(chunk.probes.context["see"][lane, probe], np.stack(wanted))


def test_probes_see_every_step_and_the_last_ones_of_a_long_episode_often() -> None:
    lengths = np.full(2, 1000)
    stream = stream_of(episodes(lengths), ShuffledLaneSampler(lengths, 8, 10), 400, probes=4)
    position = torch.cat([c.probes.position.flatten() for c in stream if c.probes is not None])
    counts = np.bincount(position, minlength=1000) / len(position)
    assert counts[-1] > 0.02  # an evenly drawn probe would see it with probability 0.001
    assert counts[:500].sum() == pytest.approx(0.25 + 0.5 * np.log(2) / np.log(1001), abs=0.03)


@pytest.mark.parametrize("restart", [(0.0,), (0.9, 0.1, 0.0), None], ids=["to the end", "restarts", "horizons"])
@pytest.mark.parametrize("curriculum", [{}, {900: 20}], ids=["all", "short first"])
@pytest.mark.parametrize("probes", [1, 2, 5])
def test_weighted_probes_count_as_if_all_steps_were_equally_likely(
    restart: tuple[float, ...] | None, curriculum: dict[int, int], probes: int
) -> None:
    lengths = np.array([3, 12, 20, 60, 150, 1, 40, 7])
    schedule = CurriculumSampler(curriculum, lengths, 24, 5, restart, seed=1)
    stream = stream_of(episodes(lengths), schedule, 4000, probes=probes)
    begin = max(curriculum, default=0)
    weights, number = 0.0, 0
    counts = np.zeros((len(lengths), 150))
    for step in range(begin, begin + 3000, 50):
        chunk = stream.block(np.arange(step, step + 50))
        assert chunk.probes is not None
        assert chunk.probes.weight is not None
        episode = chunk.episode[:, None].expand_as(chunk.probes.position)
        np.add.at(counts, (episode.numpy(), chunk.probes.position.numpy()), chunk.probes.weight.numpy())
        weights, number = weights + float(chunk.probes.weight.sum()), number + chunk.probes.weight.numel()
    assert weights / number == pytest.approx(1, abs=0.05)
    exists = np.arange(150) < lengths[:, None]
    assert not counts[~exists].any()
    share = counts / counts.sum() * lengths.sum()
    by_length = share.sum(1) / lengths  # every step of every episode has its share, whatever the episode's length ...
    assert by_length[lengths >= 12] == pytest.approx(1, abs=0.15)
    assert share[exists & (lengths >= 40)[:, None]].std() < 0.6
    last = share[np.arange(len(lengths)), lengths - 1]
    assert last[lengths >= 12].mean() == pytest.approx(1, abs=0.2)  # ... and the last one has no more


def test_probes_change_with_step_lane_and_seed() -> None:
    lengths = np.full(1, 10_000)

    def places(seed: int) -> Tensor:
        stream = stream_of(episodes(lengths), ShuffledLaneSampler(lengths, 4, 5), 20, probes=2, seed=seed)
        return torch.stack([c.probes.position for c in stream if c.probes is not None])

    first = places(0)
    assert torch.equal(first, places(0))
    assert (first != places(1)).float().mean() > 0.8
    assert (first[1:] != first[:-1]).float().mean() > 0.8
    assert (first[:, 1:] != first[:, :-1]).float().mean() > 0.8


# --- targets


def refresh(table: TargetTable, source: ArrayEpisodes, seed: int, which: npt.NDArray[np.int64] | None = None) -> None:
    which = np.arange(len(source)) if which is None else which
    rng = np.random.default_rng(seed)
    longest = int(source.lengths.max())
    score = torch.from_numpy(rng.random((len(which), longest), np.float32))
    position = torch.arange(longest).expand(len(which), -1)
    collector = table.collect(which, torch.device("cpu"))
    collector.extend(score, position, position < torch.from_numpy(source.lengths[which])[:, None])
    collector.finish()
    table.complete_refresh()


@pytest.mark.parametrize("selector", [TopK(1), TopK(3)], ids=["one", "three"])
@pytest.mark.parametrize("restart", [(0.0,), (0.4, 0.1, 0.0)])
def test_joined_targets_are_those_selected_at_each_chunks_start(selector: Selector, restart: tuple[float, ...]) -> None:
    source = episodes(np.array([30, 9, 17, 40, 5, 12]))
    task = task_of(source)
    table = TargetTable(selector, len(source))
    schedule = ShuffledLaneSampler(source.lengths, 5, 4, restart)
    join = TargetJoin(source, task, table, schedule)
    some = 0
    for step, chunk in enumerate(stream_of(source, schedule, 300)):
        if step in (20, 77, 78, 150):
            refresh(table, source, seed=step, which=np.array([0, 3, 5]) if step == 77 else None)
        targets = join(chunk).targets
        assert targets is not None
        selected = table.select(chunk.episode.numpy(), chunk.start.numpy())
        assert np.array_equal(np.sort(targets.position.numpy(), 1), np.sort(selected, 1))
        for lane in range(5):
            episode = int(chunk.episode[lane])
            for k, position in enumerate(targets.position[lane].tolist()):
                there = position != NOWHERE
                exists = there and bool(step_of(source, HAS_OUTCOME, episode, position))
                assert targets.valid[lane, k] == exists
                if not there:
                    continue
                some += 1
                assert targets.outcome[lane, k] == (step_of(source, OUTCOME, episode, position) if exists else 0)
                assert targets.eval_mask[lane, k] == (exists and bool(step_of(source, EVAL_MASK, episode, position)))
                for name in ("see", "do"):
                    wanted = [step_of(source, name, episode, t) for t in range(position - 2, position + 1)]
                    assert np.array_equal(targets.context[name][lane, k], np.stack(wanted))
    assert some > 1000


def test_joined_targets_do_not_depend_on_how_many_chunks_are_laid_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source, schedule = episodes(), ShuffledLaneSampler(LENGTHS, 4, 5, (0.3, 0.0), seed=3)
    table = TargetTable(TopK(1), len(source))
    refresh(table, source, seed=1)

    def joined() -> list[Chunk]:
        join = TargetJoin(source, task_of(source), table, schedule)
        return [join(chunk) for chunk in stream_of(source, schedule, 150)]

    together = joined()
    monkeypatch.setattr(stream_module, "_BLOCK_BYTES", 1)
    assert_same(joined(), together)


def test_evaluation_chunks_get_targets_and_idle_lanes_get_none() -> None:
    source = episodes()
    table = TargetTable(TopK(1), len(LENGTHS))
    refresh(table, source, 0)
    schedule = SequentialSampler(LENGTHS, 4, 7)
    join = TargetJoin(source, task_of(source), table, schedule)
    idle = 0
    for chunk in stream_of(source, schedule, schedule.steps):
        targets = join(chunk).targets
        assert targets is not None
        assert not targets.valid[chunk.episode < 0].any()
        selected = table.select(np.maximum(chunk.episode.numpy(), 0), chunk.start.numpy())
        playing = chunk.episode >= 0
        assert np.array_equal(targets.position[playing], selected[playing.numpy()])
        idle += int((~playing).sum())
    assert idle > 0


def test_targets_that_were_handed_out_do_not_change_later() -> None:
    source = episodes()
    table = TargetTable(TopK(1), len(LENGTHS))
    join = TargetJoin(source, task_of(source), table, SCHEDULES["training"])
    kept, copies = [], []
    for step, chunk in enumerate(stream_of(source, SCHEDULES["training"], 60)):
        if step % 10 == 5:
            refresh(table, source, step)
        kept.append(join(chunk))
        copies.append(copy.deepcopy(kept[-1]))
    assert_same(kept, copies)


def test_a_refresh_takes_effect_with_the_next_chunk() -> None:
    source = episodes(np.array([1000]))
    table = TargetTable(TopK(1), len(source))
    schedule = ShuffledLaneSampler(source.lengths, 1, 5)
    join = TargetJoin(source, task_of(source), table, schedule)
    stream = iter(stream_of(source, schedule, 10))
    seen = []
    for seed in range(4):
        targets = join(next(stream)).targets
        assert targets is not None
        seen.append(targets.position.item())
        refresh(table, source, seed)
    assert seen[0] == NOWHERE
    assert len(set(seen)) == 4


def test_targets_joined_from_the_middle_of_a_run_are_those_joined_all_along() -> None:
    source = episodes(np.array([30, 9, 17, 40, 5, 12]))
    schedule = ShuffledLaneSampler(source.lengths, 5, 4, (0.2, 0.0))
    table = TargetTable(TopK(2), len(source))
    refresh(table, source, 0)
    stream = stream_of(source, schedule, 60)
    along = TargetJoin(source, stream.task, table, schedule)
    whole = [along(chunk) for chunk in stream]
    late = TargetJoin(source, stream.task, table, schedule)
    assert_same([late(chunk) for chunk in stream.read(np.arange(37, 60))], whole[37:])


# --- episodes that are computed when they are read


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["L", "LN", "LNR"]), st.sampled_from([0, 3]), st.integers(0, 5), st.data())
def test_any_slice_of_a_generated_episode_equals_the_same_part_of_the_whole(
    mode: Any, distractors: int, episode: int, data: st.DataObject
) -> None:
    source = TMazeEpisodes(TMazeRules(20, mode, distractors), np.arange(100, 106))
    length = int(source.lengths[episode])
    start = data.draw(st.integers(0, length))
    stop = data.draw(st.integers(start, length))
    whole, part = source.read(episode, 0, length), source.read(episode, start, stop)
    assert part.keys() == source.fields.keys()
    for name, array in part.items():
        assert array.dtype == np.dtype(source.fields[name].dtype)
        assert np.array_equal(array, whole[name][start:stop])


def test_gathering_generated_steps_at_many_places_equals_reading_them_one_by_one() -> None:
    source = TMazeEpisodes(TMazeRules(12, "LNR", 2), np.arange(5))
    rng = np.random.default_rng(0)
    which, starts = rng.integers(0, 5, 50), rng.integers(-6, 25, 50)
    names = list(source.fields)
    together = source.gather(which, starts, 9, names)
    one_by_one = super(TMazeEpisodes, source).gather(which, starts, 9, names)
    for name in names:
        assert np.array_equal(together[name], one_by_one[name]), name


@pytest.mark.parametrize("mode", ["L", "LN", "LNR"])
def test_a_generated_episode_is_what_the_environment_plays_under_its_seed(mode: Any) -> None:
    seeds = np.array([3, 2**62 + 11, 77])
    source = TMazeEpisodes(TMazeRules(15, mode, 2), seeds)
    env = TMazeEnv(15, mode, 2)
    for episode, seed in enumerate(seeds):
        arrays = source.read(episode, 0, int(source.lengths[episode]))
        observation, _ = env.reset(options={"episode_seed": int(seed)})
        for step, action in enumerate(arrays["action"]):
            assert np.array_equal(arrays["observation"][step], observation)
            observation, reward, terminated, _, _ = env.step(action)
            assert arrays["reward"][step] == arrays[OUTCOME][step] == reward
            assert arrays[EVAL_MASK][step] == terminated
        assert terminated


def test_generated_actions_are_fair_and_independent_of_hint_and_noise() -> None:
    source = TMazeEpisodes(TMazeRules(10, "LN"), np.arange(4000))
    arrays = source.gather(np.arange(4000), np.zeros(4000, np.int64), 10, ["observation", "action"])
    action = arrays["action"] * 2 - 1
    assert abs(action.mean()) < 0.03
    assert abs((action[:, -1] * arrays["observation"][:, 0, 0]).mean()) < 0.06
    assert abs((action * arrays["observation"][..., 2]).mean()) < 0.03


def test_a_slice_at_the_end_of_a_million_steps_is_read_alone() -> None:
    source = TMazeEpisodes(TMazeRules(1_000_000, "LNR"), np.arange(2))
    last = int(source.lengths[0])
    assert source.read(0, last - 3, last)[EVAL_MASK].tolist() == [False, False, True]


def test_the_fields_of_generated_episodes_are_those_of_the_environment() -> None:
    env = TMazeEnv(10, "L")
    played = space_fields("observation", env.observation_space) | space_fields("action", env.action_space)
    generated = TMazeEpisodes(TMazeRules(10, "L"), np.arange(2)).fields
    assert {name: generated[name] for name in played} == played
