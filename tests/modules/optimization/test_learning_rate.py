"""The learning rate of a memory falls with the square root of the updates; a resumed run continues it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from pytorch_lightning import seed_everything

from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import InverseSqrtLR, MemUP
from tests.training import quiet_trainer


def rates(hold: int, updates: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = InverseSqrtLR(optimizer, hold)
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_is_constant_first_and_then_falls_with_the_square_root() -> None:
    found = rates(10, 161)
    assert found[:11] == [0.1] * 11
    assert found[40] == pytest.approx(0.05)
    assert found[160] == pytest.approx(0.025)
    assert all(later < earlier for earlier, later in itertools.pairwise(found[10:]))


@pytest.mark.parametrize("hold", [0, -1])
def test_no_update_at_the_first_rate_is_refused(hold: int) -> None:
    with pytest.raises(MemUPError, match=f"hold={hold}"):
        rates(hold, 1)


def fit(updates: int, ckpt_path: Path | None = None, hold: int = 4) -> tuple[float, MemUP]:
    seed_everything(1)
    data = TMazeDataModule(length=10, num_train=8, num_val=4, chunk_length=5, lanes=4, chunks_per_epoch=4, seed=1)
    model = MemUP(data.task, lr_scheduler=lambda optimizer: InverseSqrtLR(optimizer, hold))
    trainer = quiet_trainer(updates, [], limit_val_batches=0)
    trainer.fit(model, data, ckpt_path=ckpt_path, weights_only=False)
    if ckpt_path is None:
        trainer.save_checkpoint(Path(str(trainer.default_root_dir)) / "now.ckpt")
    return trainer.optimizers[0].param_groups[0]["lr"], model


def test_a_resumed_run_continues_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole, _ = fit(16)
    assert whole == pytest.approx(0.002)
    fit(8)
    assert fit(16, tmp_path / "now.ckpt")[0] == whole
    assert fit(16, tmp_path / "now.ckpt", hold=16)[0] == pytest.approx(0.004), "what is overridden wins"


def test_memories_are_trained_by_it_unless_a_constant_rate_is_asked_for() -> None:
    task = TMazeDataModule(length=10, num_train=8, num_val=4).task
    assert isinstance(MemUP(task).configure_optimizers()["lr_scheduler"]["scheduler"], InverseSqrtLR)
    assert isinstance(MemUP(task, lr_scheduler=None).configure_optimizers(), torch.optim.Adam)
