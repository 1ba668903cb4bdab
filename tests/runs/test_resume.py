"""A run that was cut off and resumed ends with what the uncut run ends with, bit for bit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from torch import Tensor

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.targets import Proportional, TopK
from memup_lightning.data.targets.explainable import Explainable
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import GRU, LSTM, RNNAdapter
from memup_lightning.models.uncertainty import AverageSurprise
from memup_lightning.modules import MemoryAdam, MemUP
from tests.training import quiet_trainer

UPDATES, EPOCH = 100, 40
DROPOUT = partial(  # draws at every update
    RNNAdapter, module=torch.nn.LSTM, module_args={"hidden_size": 8, "num_layers": 2, "dropout": 0.3}
)


class SaveAt(Callback):
    """Writes a checkpoint after an update, as ModelCheckpoint does."""

    def __init__(self, step: int, path: Path) -> None:
        self.step = step
        self.path = path

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


class Run:
    """A fit in objects of its own, on an RNG state of its own."""

    def __init__(
        self, updates: int = UPDATES, ckpt: Path | None = None, save: SaveAt | None = None, seed: int = 1, **given: Any
    ) -> None:
        seed_everything(seed)
        self.data = TMazeDataModule(
            length=20,
            num_train=24,
            num_val=8,
            chunk_length=given.pop("chunk_length", 5),
            lanes=given.pop("lanes", 8),
            restart=given.pop("restart", [0.2, 0.0]),
            curriculum=given.pop("curriculum", None),
            chunks_per_epoch=EPOCH,
            num_workers=given.pop("num_workers", 0),
            seed=1,
            selector=given.pop("selector", None),
            loss_free=given.pop("loss_free", None),
        )
        when = {"every": 20, "settle": 5, "max_wait": 10} | given.pop("when", {})
        # Less than a pass of all episodes fits a refresh: whose turn it is must come back too.
        refresh = TargetRefresh(max_steps=300, **when)
        callbacks, root = given.pop("callbacks", []), given.pop("root", None)
        given = {"memory": partial(LSTM, hidden_size=8)} | given
        self.model = MemUP(self.data.task, **given)
        self.trainer = quiet_trainer(
            updates,
            [refresh, *([save] if save else []), *callbacks],
            default_root_dir=root,
            val_check_interval=30,
            check_val_every_n_epoch=None,
        )
        self.trainer.fit(self.model, self.data, ckpt_path=ckpt)

    @property
    def outcome(self) -> dict[str, Tensor]:
        """All that the run has come to."""
        optimizer = self.trainer.optimizers[0].state_dict()["state"]
        table = self.data.splits["train"].targets.state_dict()
        state = self.model.lanes.after
        assert state is not None
        found = {f"weights.{name}": x for name, x in self.model.state_dict().items()}
        found |= {f"adam.{n}.{name}": x for n, part in optimizer.items() for name, x in part.items()}
        found |= {f"lanes.{n}": x for n, x in enumerate([state] if isinstance(state, Tensor) else state)}  # type: ignore[misc]
        found |= {f"table.{name}": x for name, x in table["candidates"].items()}
        if self.model.clusters is not None:
            found |= {
                f"clusters.{name}": x for name, x in self.model.clusters.state_dict().items() if name != "examples"
            }
        return found | {
            "table.version": torch.tensor(table["num_refreshes"]),
            "table.scored": table["scored"],
            "consumed": torch.tensor(self.data.training_lanes().num_consumed),
            "global_step": torch.tensor(self.trainer.global_step),
        }


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


def straight_and_resumed(tmp_path: Path, at: int, resumed_with: dict[str, Any] | None = None, **given: Any) -> None:
    ckpt = tmp_path / "cut.ckpt"
    whole = Run(save=SaveAt(at, ckpt), **given).outcome
    assert whole["table.version"] > 1
    assert_same(Run(ckpt=ckpt, seed=99, **given | (resumed_with or {})).outcome, whole)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_resumed_in_the_middle_of_an_epoch_ends_like_the_uncut_run(tmp_path: Path, num_workers: int) -> None:
    straight_and_resumed(tmp_path, 37, num_workers=num_workers)


@pytest.mark.parametrize("at", [3, 40, 60])
def test_the_step_of_the_cut_does_not_matter(tmp_path: Path, at: int) -> None:
    straight_and_resumed(tmp_path, at)


def test_a_run_may_be_resumed_with_another_number_of_workers(tmp_path: Path) -> None:
    straight_and_resumed(tmp_path, 37, {"num_workers": 2}, selector=Explainable(2), loss_free=0.2, num_clusters=4)


@pytest.mark.parametrize(
    "given",
    [
        {"memory": partial(GRU, hidden_size=8)},
        {"uncertainty": AverageSurprise(decay=0.9)},
        {"selector": Proportional(2), "current_step": True},
        {"selector": Explainable(2), "loss_free": 0.2, "num_clusters": 4},
        {"when": {"every": EPOCH}},
        {"when": {"every": 2}, "lanes": 2},
        {"when": {"settle": 30, "max_wait": 1000, "tolerance": 1e9}},
        {"lr_scheduler": partial(torch.optim.lr_scheduler.LinearLR, total_iters=80)},
        {"memory": DROPOUT},
        {"curriculum": {30: 40, 70: 60}},
    ],
    ids=[
        "gru",
        "surprise",
        "proportional",
        "explainable",
        "epochs",
        "turn",
        "settling",
        "schedule",
        "dropout",
        "curriculum",
    ],
)
def test_every_part_of_a_run_comes_back(tmp_path: Path, given: dict[str, Any]) -> None:
    straight_and_resumed(tmp_path, 57, **given)


def test_a_checkpoint_written_after_a_run_ended_continues_from_there(tmp_path: Path) -> None:
    whole = Run().outcome
    half = Run(37)
    half.trainer.save_checkpoint(tmp_path / "end.ckpt")
    assert_same(Run(ckpt=tmp_path / "end.ckpt", seed=99).outcome, whole)


def test_a_checkpoint_loads_as_weights_only(tmp_path: Path) -> None:
    ckpt = tmp_path / "cut.ckpt"
    Run(37, save=SaveAt(37, ckpt), uncertainty=AverageSurprise(), selector=TopK(3))
    state = torch.load(ckpt, weights_only=True)
    assert state["TMazeDataModule"]["lanes"]["consumed"] == 37
    assert state["lanes"]["states"][0].shape == (8, 1, 8)


def test_a_model_comes_back_from_its_checkpoint_alone(tmp_path: Path) -> None:
    ckpt = tmp_path / "cut.ckpt"
    run = Run(37, save=SaveAt(37, ckpt))
    model = MemUP.load_from_checkpoint(ckpt, memory=partial(LSTM, hidden_size=8), weights_only=True)
    assert model.task == run.data.task
    assert all(torch.equal(x, run.model.state_dict()[name]) for name, x in model.state_dict().items())


def test_a_learning_rate_changed_since_takes_precedence_over_the_checkpoints(tmp_path: Path) -> None:
    ckpt = tmp_path / "cut.ckpt"
    Run(37, save=SaveAt(37, ckpt))
    kept = Run(38, ckpt=ckpt)
    assert kept.trainer.optimizers[0].param_groups[0]["lr"] == 4e-3
    changed = Run(38, ckpt=ckpt, optimizer=partial(MemoryAdam, lr=7e-4, betas=(0.8, 0.999)))
    assert changed.trainer.optimizers[0].param_groups[0]["lr"] == 7e-4
    assert tuple(changed.trainer.optimizers[0].param_groups[0]["betas"]) == (0.8, 0.999)


def test_a_run_resumed_with_another_selector_is_refused(tmp_path: Path) -> None:
    ckpt = tmp_path / "cut.ckpt"
    Run(12, save=SaveAt(12, ckpt))
    with pytest.raises(MemUPError, match="same selector and number of episodes"):
        Run(ckpt=ckpt, selector=TopK(5))


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"lanes": 4}, "lanes=8"),
        ({"chunk_length": 4}, "chunk_length=5"),
        ({"restart": [0.5]}, r"restart=\[0.2, 0.0\]"),
        ({"curriculum": {30: 40}}, r"curriculum=\{\}"),
    ],
    ids=["lanes", "chunk_length", "restart", "curriculum"],
)
def test_a_run_whose_lanes_would_stand_elsewhere_is_refused(
    tmp_path: Path, changed: dict[str, Any], option: str
) -> None:
    ckpt = tmp_path / "cut.ckpt"
    Run(12, save=SaveAt(12, ckpt))
    with pytest.raises(MemUPError, match=rf"resume with {option}, or start without ckpt_path"):
        Run(ckpt=ckpt, **changed)


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    ckpt = tmp_path / "cut.ckpt"
    Run(12, save=SaveAt(12, ckpt))
    state = torch.load(ckpt, weights_only=True)
    del state["lanes"]
    torch.save(state, ckpt)
    with pytest.raises(MemUPError, match="holds no lanes"):
        Run(ckpt=ckpt)
