"""Replay: lanes go back to the middle of episodes, with states that the memory produced there."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything

from memup_lightning.callbacks import Replay, TargetRefresh
from memup_lightning.datamodules import CopyDataModule, TMazeDataModule
from memup_lightning.models.memory import GRU, LSTM, take
from memup_lightning.modules import MemUP
from memup_lightning.modules.states.snapshots import StateBatch
from tests.modules.states.replayed import (
    CHUNK,
    EVERY,
    LANES,
    REPLAYING,
    SEQUENTIAL,
    UPDATES,
    Run,
    _tensors,
    assert_equal_states,
    played_to,
    redirected,
)
from tests.training import quiet_trainer


@pytest.mark.parametrize("memory", [LSTM, GRU])
def test_a_snapshot_is_the_state_of_the_memory_that_plays_the_episode_to_that_place(memory: Any) -> None:
    run = Run(EVERY, memory=partial(memory, hidden_size=8))  # ends with a scan: no weight has changed since
    snapshots = run.replay.snapshots
    young = np.flatnonzero(snapshots.created_at == EVERY)
    assert len(young) == len(snapshots) == 12 * 4
    with torch.no_grad():
        for number, (episode, start) in enumerate(snapshots.where):
            assert_equal_states(snapshots.state(np.array([number])), played_to(run, int(episode), int(start)))


def test_a_visit_begins_with_the_place_and_state_of_a_snapshot() -> None:
    run = Run(EVERY + 19)  # the snapshots are those of the last scan
    begun = 0
    for n in range(EVERY, EVERY + 19):
        entered = run.watch.entered[n]
        for row in np.flatnonzero(entered >= 0):
            begun += 1
            lane, chunk = REPLAYING[row], run.watch.chunks[n]
            assert [int(chunk.episode[lane]), int(chunk.start[lane])] == run.replay.snapshots.where[
                entered[row]
            ].tolist()
            now = take(run.watch.before[n], torch.tensor([lane]))
            assert_equal_states(now, run.replay.snapshots.state(entered[[row]]))
    assert begun > 10


def test_a_replayed_chunk_is_what_the_source_holds_at_its_place(run: Run) -> None:
    source, task = run.data.sources["train"], run.data.task
    assert len(redirected(run)) > UPDATES // 2
    for n in redirected(run):
        chunk = run.watch.chunks[n]
        for lane in REPLAYING:
            episode, start = chunk.episode[[lane]].numpy(), chunk.start[[lane]].numpy()
            for name, lag in task.inputs.items():
                there = source.gather(episode, start - lag, CHUNK, [name])[name]
                assert np.array_equal(chunk.inputs[name][[lane]].numpy(), there)
            left = int(source.lengths[episode[0]] - start[0])
            assert chunk.valid[lane].tolist() == [step < left for step in range(CHUNK)]
            assert bool(chunk.is_first[lane]) == (start[0] == 0)


def test_a_replayed_chunk_has_the_targets_of_the_table() -> None:
    run = Run(EVERY + 15)  # the table is that of the last refresh
    for n in range(EVERY, EVERY + 15):
        chunk = run.watch.chunks[n]
        assert chunk.targets is not None
        episode, start = chunk.episode.numpy(), chunk.start.numpy()
        wanted = run.data.splits["train"].targets.select(episode, start)
        assert np.array_equal(chunk.targets.position.numpy(), wanted)
        reward = run.data.sources["train"].gather(episode, wanted[:, 0], 1, ["reward"])["reward"]
        assert np.array_equal(chunk.targets.outcome[:, :1].numpy(), reward)


@pytest.mark.parametrize("current_step", [False, True])
def test_the_other_lanes_play_on_as_the_schedule_says(current_step: bool) -> None:
    run = Run(EVERY + 5, current_step=current_step)
    plain = run.data.training_stream.read(np.arange(len(run.watch.chunks)))
    for n, (chunk, scheduled) in enumerate(zip(run.watch.chunks, plain, strict=True)):
        lanes = SEQUENTIAL if n in redirected(run) else range(LANES)
        assert torch.equal(chunk.episode[lanes], scheduled.episode[lanes])
        assert torch.equal(chunk.start[lanes], scheduled.start[lanes])
        assert torch.equal(chunk.outcome[lanes], scheduled.outcome[lanes])
        for name, x in chunk.inputs.items():
            assert torch.equal(x[lanes], scheduled.inputs[name][lanes])
        assert chunk.probes is not None
        assert scheduled.probes is not None
        assert torch.equal(chunk.probes.position, scheduled.probes.position)


def test_a_visit_continues_chunk_after_chunk_with_the_state_carried_on(run: Run) -> None:
    going_on = 0
    for n in redirected(run)[1:]:
        for row, lane in enumerate(REPLAYING):
            if run.watch.entered[n][row] < 0:
                going_on += 1
                before, now = run.watch.chunks[n - 1], run.watch.chunks[n]
                assert now.episode[lane] == before.episode[lane]
                assert now.start[lane] == before.start[lane] + CHUNK
        on = [lane for row, lane in enumerate(REPLAYING) if run.watch.entered[n][row] < 0] + SEQUENTIAL
        for behind, ahead in zip(_tensors(run.watch.after[n - 1]), _tensors(run.watch.before[n]), strict=True):
            assert torch.equal(behind[on], ahead[on])
    assert going_on > 20


def test_visits_end_with_their_episode_or_after_their_number_of_chunks(run: Run) -> None:
    lengths = run.data.sources["train"].lengths
    played = np.zeros(len(REPLAYING), int)
    ended = Counter[str]()
    for n in redirected(run):
        entered, chunk = run.watch.entered[n], run.watch.chunks[n]
        for row, lane in enumerate(REPLAYING):
            if entered[row] >= 0 and played[row]:
                last = run.watch.chunks[n - 1]
                whole = played[row] == (2, 6)[row // 2]
                at_end = last.start[lane] + CHUNK >= lengths[last.episode[lane]]
                assert whole or at_end
                ended["number" if whole else "episode"] += 1
            played[row] = 1 if entered[row] >= 0 else played[row] + 1
            assert chunk.start[lane] < lengths[chunk.episode[lane]]
    assert min(ended["number"], ended["episode"]) > 0


def test_the_hint_and_the_junction_are_the_most_novel_places_and_are_drawn_most() -> None:
    data = TMazeDataModule(
        length=5000, hint_window=0.5, num_train=8, num_val=4, chunk_length=10, lanes=16, chunks_per_epoch=25, seed=1
    )
    seed_everything(1)
    replay, model = Replay(every=20, max_age=40), MemUP(data.task, memory=partial(LSTM, hidden_size=4))
    refresh = TargetRefresh(every=20, settle=2, max_wait=4)
    quiet_trainer(
        20,
        [refresh, replay],
        limit_val_batches=0,
    ).fit(model, data)
    layout = data.sources["train"].layout  # type: ignore[attr-defined]
    snapshots = replay.snapshots
    for episode in range(8):
        rows = np.flatnonzero(snapshots.where[:, 0] == episode)
        rarest = rows[np.argsort(-snapshots.novelty[rows])[:2]]
        cues = {int(layout.hint_step[episode]) // 10 * 10, int(layout.length[episode] - 1) // 10 * 10}
        assert set(snapshots.where[rarest, 1].tolist()) == cues
    at_hint = snapshots.where[:, 1] == layout.hint_step[snapshots.where[:, 0]] // 10 * 10
    drawn = snapshots.draw(np.random.default_rng(0).random(4000))
    assert at_hint[drawn].mean() > 0.4
    assert at_hint.sum() == 8


def test_the_learning_progress_of_visits_raises_the_priority_of_their_place(run: Run) -> None:
    snapshots = run.replay.snapshots
    before = snapshots.priority
    snapshots.record(np.array([3, 3, 5]), torch.tensor([1.0, 3.0, 0.0]))
    assert np.array_equal(snapshots.priority, before)
    snapshots.update_priorities()
    changed = np.flatnonzero(snapshots.priority != before)
    assert set(changed) <= {3, 5}
    assert snapshots.priority[3] > before[3]


@pytest.mark.parametrize(("max_age", "max_steps"), [(EVERY, 130), (2 * EVERY, 130), (3 * EVERY, 200)])
def test_snapshots_are_never_older_than_max_age(max_age: int, max_steps: int) -> None:
    run = Run(110, replay={"max_age": max_age, "max_steps": max_steps})  # two or three episodes a scan
    assert run.watch.oldest
    assert max_age - EVERY < max(run.watch.oldest) <= max_age


def test_episodes_take_turns() -> None:
    run = Run(150, replay={"max_steps": 200, "max_age": 1000})
    assert set(run.replay.snapshots.where[:, 0]) == set(range(12))


def test_a_scan_plays_no_episode_that_the_curriculum_does_not_admit() -> None:
    copy = {"length": 60, "shortest": 3, "copied": 2, "num_train": 64, "curriculum": {UPDATES + 1: 30}}
    run = Run(data=(CopyDataModule, copy))
    lengths = run.data.sources["train"].lengths
    assert lengths.max() > 40
    assert len(np.unique(run.replay.snapshots.where[:, 0])) > 8
    assert lengths[run.replay.snapshots.where[:, 0]].max() <= 30
    assert max(int(lengths[chunk.episode].max()) for chunk in run.watch.chunks) <= 30


def test_scans_and_visits_reach_longer_episodes_as_the_curriculum_advances() -> None:
    copy = {"length": 60, "shortest": 3, "copied": 2, "num_train": 64, "curriculum": {EVERY + 5: 30}}
    run = Run(data=(CopyDataModule, copy))
    lengths = run.data.sources["train"].lengths
    assert lengths[run.replay.snapshots.where[:, 0]].max() > 40
    behind = [chunk for chunk in run.watch.chunks if chunk.step > 2 * EVERY]
    assert max(int(lengths[chunk.episode[REPLAYING]].max()) for chunk in behind) > 40


def test_the_fall_of_a_place_is_a_moving_average_of_what_its_visits_recorded() -> None:
    run = Run()
    replay = run.replay
    replay.snapshots.update_priorities()
    before = replay.snapshots.learning_progress.copy()
    replay._entered = np.array([2, 2, -1, 5])
    loss, counts = torch.zeros(LANES, 3, 1), torch.ones(LANES, 3, 1, dtype=torch.bool)
    loss[REPLAYING, 0, 0] = torch.tensor([3.0, 1.0, 9.0, 4.0])
    loss[REPLAYING, -1, 0] = torch.tensor([1.0, 5.0, 0.0, 0.0])  # falls by 2, rises, does not begin here
    counts[REPLAYING[3], -1] = False  # and one whose target does not count at both ends
    run.model._target_losses = loss, counts
    replay._learn(run.model, run.data.training_lanes())
    replay.snapshots.update_priorities()
    expected = before.copy()
    expected[[2, 5]] = 0.8 * before[[2, 5]] + 0.2 * np.array([(2 + 0) / 2, 0])
    np.testing.assert_allclose(replay.snapshots.learning_progress, expected, atol=1e-6)
    again = StateBatch(replay.snapshots.where[[2]], np.ones(1), replay.snapshots.state(np.array([2])))
    replay.snapshots.refresh([again], 1000, 1000)
    np.testing.assert_allclose(replay.snapshots.learning_progress, expected[[2]], atol=1e-6)
