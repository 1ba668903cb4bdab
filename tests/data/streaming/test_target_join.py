"""Targets are joined to chunks at the step of use."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming import stream as stream_module
from memup_lightning.data.streaming.samplers import SequentialSampler, ShuffledLaneSampler
from memup_lightning.data.streaming.target_join import TargetJoin
from memup_lightning.data.targets import NOWHERE, Selector, TargetTable, TopK
from tests.data.streaming.streams import LENGTHS, SCHEDULES, assert_same, episodes, step_of, stream_of, task_of


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
