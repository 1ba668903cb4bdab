"""Replay: lanes go back to the middle of episodes, with states that the memory produced there."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from memup_lightning.callbacks import Replay, TargetRefresh
from memup_lightning.chunk import Chunk
from memup_lightning.datamodules import CopyDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import GRU, LSTM, take
from memup_lightning.modules import BPTT, TBPTT, MemUP
from memup_lightning.modules.states.snapshots import StateBatch
from tests.training import quiet_trainer

LANES, CHUNK, EVERY, UPDATES = 8, 5, 20, 60
REPLAYING, SEQUENTIAL = [1, 3, 5, 7], [0, 2, 4, 6]  # half of the lanes, spread evenly


class Watch(Callback):
    """Keeps every training chunk as the model got it, with the state before it and what Replay held then."""

    def __init__(self, replay: Replay, save_at: int = 0, path: Path | None = None) -> None:
        self.replay, self.save_at, self.path = replay, save_at, path
        self.chunks: list[Chunk] = []
        self.before: list[Any] = []
        self.after: list[Any] = []
        self.entered: list[Any] = []
        self.oldest: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Chunk, batch_idx: int) -> None:
        assert isinstance(pl_module, MemUP)
        self.chunks.append(batch)
        self.before.append(pl_module.lanes.after)
        self.entered.append(self.replay._entered)
        if len(self.replay.snapshots):
            self.oldest.append(batch.step - int(self.replay.snapshots.created_at.min()))

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        assert isinstance(pl_module, MemUP)
        self.after.append(pl_module.lanes.after)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.save_at:
            assert self.path is not None
            trainer.save_checkpoint(self.path)


class Run:
    """A fit in objects of its own."""

    def __init__(
        self, updates: int = UPDATES, ckpt: Path | None = None, save: tuple[int, Path] | None = None, **given: Any
    ) -> None:
        seed_everything(given.pop("seed", 1))
        options: dict[str, Any] = {"every": EVERY, "visits": [2, 6], "max_age": 3 * EVERY, "lanes": 8}
        self.replay = Replay(**options | given.pop("replay", {}))
        self.watch = Watch(self.replay, *(save or ()))
        kind, episodes = given.pop("data", (TMazeDataModule, {"length": 60, "hint_window": 0.5, "num_train": 12}))
        self.data = kind(
            **episodes,
            num_val=4,
            chunk_length=CHUNK,
            lanes=LANES,
            chunks_per_epoch=25,
            num_workers=given.pop("num_workers", 0),
            selector=given.pop("selector", None),
            seed=1,
        )
        self.model = MemUP(self.data.task, **{"memory": partial(LSTM, hidden_size=8)} | given)
        self.trainer = quiet_trainer(
            updates,
            [TargetRefresh(every=EVERY, settle=2, max_wait=4), self.replay, self.watch],
            limit_val_batches=0,
        )
        self.trainer.fit(self.model, self.data, ckpt_path=ckpt)

    @property
    def outcome(self) -> dict[str, Tensor]:
        """Weights, optimiser, lanes and snapshots at the end."""
        optimizer = self.trainer.optimizers[0].state_dict()["state"]
        found = dict(self.model.state_dict())
        found |= {f"adam.{n}.{name}": x for n, part in optimizer.items() for name, x in part.items()}
        held = self.replay.snapshots.state_dict()
        states = {"lanes": self.model.lanes.after, "snapshots": held.pop("states")}
        found |= {f"{name}.{n}": x for name, parts in states.items() for n, x in enumerate(_tensors(parts))}
        visits: dict[str, Tensor] = self.replay.state_dict()["visits"]
        return found | held | visits


def _tensors(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [x for part in state for x in _tensors(part)]


def assert_equal_states(one: Any, other: Any) -> None:
    for a, b in zip(_tensors(one), _tensors(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=5e-6)  # sums of float32 in another order


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert not [name for name in one if not torch.equal(one[name], other[name])]


def played_to(run: Run, episode: int, start: int) -> Any:
    """State of the memory, as it is now, after it plays the episode alone up to a step."""
    state = run.model.memory.initial_state(1)
    if start:
        source, task = run.data.sources["train"], run.data.task
        names = list(task.inputs)
        arrays = {
            name: source.gather(np.array([episode]), np.array([-lag]), start, [name])[name]
            for name, lag in task.inputs.items()
        }
        x = run.model.encoder({name: torch.from_numpy(arrays[name]) for name in names})
        _, state = run.model.memory(x, state, torch.ones(1, dtype=torch.bool))
    return state


@pytest.fixture(scope="module")
def run() -> Run:
    return Run()


def redirected(run: Run) -> list[int]:
    """Updates whose chunks had lanes on visits."""
    return [n for n, entered in enumerate(run.watch.entered) if len(entered)]


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


def test_two_runs_of_a_seed_are_equal_with_any_number_of_workers(run: Run) -> None:
    assert_same(Run().outcome, Run(num_workers=2).outcome)


@pytest.mark.parametrize(("at", "num_workers"), [(3, 0), (33, 0), (40, 0), (47, 2)])
def test_a_run_resumed_in_the_middle_of_visits_ends_like_the_uncut_run(
    tmp_path: Path, at: int, num_workers: int
) -> None:
    ckpt = tmp_path / "cut.ckpt"
    whole = Run(save=(at, ckpt))
    assert_same(Run(ckpt=ckpt, seed=99, num_workers=num_workers).outcome, whole.outcome)


def test_a_checkpoint_loads_as_weights_only(tmp_path: Path) -> None:
    ckpt = tmp_path / "cut.ckpt"
    run = Run(33, save=(33, ckpt))
    kept = torch.load(ckpt, weights_only=True)["callbacks"]["Replay"]
    assert torch.equal(kept["snapshots"]["where"], torch.from_numpy(run.replay.snapshots.where))


def test_another_share_than_the_checkpoints_is_refused(tmp_path: Path) -> None:
    ckpt = tmp_path / "cut.ckpt"
    Run(33, save=(33, ckpt))
    with pytest.raises(MemUPError, match=r"share=0.25 of 8 lanes is 2, but in the checkpoint 4 lanes replay"):
        Run(ckpt=ckpt, replay={"share": 0.25})


def test_a_checkpoint_of_a_replayed_run_is_not_resumed_without_replay(tmp_path: Path) -> None:
    ckpt = tmp_path / "cut.ckpt"
    episodes: dict[str, Any] = {"length": 60, "hint_window": 0.5, "num_train": 12, "restart": [0.0]}
    Run(33, save=(33, ckpt), data=(TMazeDataModule, episodes))
    data = TMazeDataModule(**episodes, num_val=4, chunk_length=CHUNK, lanes=LANES, seed=1)
    trainer = quiet_trainer(40, [TargetRefresh()], limit_val_batches=0)
    with pytest.raises(MemUPError, match=r"written under Replay.*resume with Replay among trainer.callbacks"):
        trainer.fit(MemUP(data.task, memory=partial(LSTM, hidden_size=8)), data, ckpt_path=ckpt)


def test_a_callback_that_is_used_again_starts_from_the_beginning(run: Run) -> None:
    again = Run(2)
    again.replay.load_state_dict(run.replay.state_dict())
    data = TMazeDataModule(length=60, num_train=12, num_val=4, chunk_length=CHUNK, lanes=LANES, seed=1)
    again.trainer.fit_loop.epoch_progress.reset()
    trainer = quiet_trainer(
        2,
        [TargetRefresh(), again.replay],
        limit_val_batches=0,
    )
    trainer.fit(MemUP(data.task, memory=partial(LSTM, hidden_size=8)), data)
    assert not len(again.replay.snapshots)
    assert not data.training_lanes().overridden


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 0.0}, r"share=0.0: give a share of the lanes between 0 and 1"),
        ({"share": 1.0}, r"share=1.0: give a share"),
        ({"every": 0}, r"every=0: must be at least 1"),
        ({"visits": []}, r"visits=0: must be at least 1"),
        ({"visits": [4, -1]}, r"visits=-1: must be at least 1"),
        ({"every": 50, "max_age": 49}, r"max_age=49 is less than every=50"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(MemUPError, match=message):
        Replay(**given)


def test_a_share_of_no_lane_is_refused() -> None:
    with pytest.raises(MemUPError, match=r"share=0.05 of 8 lanes is no lane; raise share or lanes"):
        Run(replay={"share": 0.05})


@pytest.mark.parametrize(("baseline", "chunk_length"), [(TBPTT, 5), (BPTT, 70)])
def test_with_a_baseline_it_does_nothing(baseline: type[TBPTT], chunk_length: int) -> None:
    def weights(*callbacks: Callback) -> dict[str, Tensor]:
        seed_everything(1)
        lanes: dict[str, Any] = {"lanes": LANES, "seed": 1}
        data = TMazeDataModule(length=60, num_train=12, num_val=4, chunk_length=chunk_length, **lanes)
        model = baseline(data.task, memory=partial(LSTM, hidden_size=8))
        quiet_trainer(12, callbacks, limit_val_batches=0).fit(model, data)
        assert not data.training_lanes().overridden
        return model.state_dict()

    assert_same(weights(Replay(every=4)), weights())


def test_another_module_is_refused() -> None:
    class Other(LightningModule):
        pass

    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    with pytest.raises(MemUPError, match="Replay works on MemUP with an EpisodeDataModule, not on Other with NoneType"):
        Replay().setup(trainer, Other(), "fit")
