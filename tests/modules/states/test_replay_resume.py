"""Runs with replay end alike after an interruption; what replay refuses."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from memup_lightning.callbacks import Replay, TargetRefresh
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import BPTT, TBPTT, MemUP
from tests.modules.states.replayed import CHUNK, LANES, Run, assert_same
from tests.training import quiet_trainer


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
