"""Losses that are not finite end a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP, losses
from memup_lightning.modules.losses import FiniteLoss
from tests.training import quiet_trainer

GOOD, BAD = torch.tensor(1.0), torch.tensor(float("nan"))


def test_a_loss_on_the_cpu_is_refused_at_once_with_its_name_and_update() -> None:
    check = FiniteLoss()
    check.add({"policy_loss": GOOD, "value_loss": GOOD}, 6)
    with pytest.raises(MemUPError, match=r"^value_loss is not finite at update 7; lower the learning rate"):
        check.add({"policy_loss": GOOD, "value_loss": BAD}, 7)


def test_a_loss_on_an_accelerator_is_refused_at_the_next_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "_is_free_to_read", lambda x: False)
    check = FiniteLoss()
    for update, loss in enumerate((GOOD, BAD, GOOD), 3):
        check.add({"policy_loss": GOOD, "value_loss": loss}, update)
    with pytest.raises(MemUPError, match=r"^value_loss is not finite at an update from 3 to 5"):
        check.check(5)
    check.add({"policy_loss": GOOD}, 6)
    check.check(6)


def test_losses_that_come_in_turn_are_both_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "_is_free_to_read", lambda x: False)
    check = FiniteLoss()
    check.add({"memory_loss": BAD}, 0)
    check.add({"policy_loss": BAD}, 1)
    with pytest.raises(MemUPError, match=r"^memory_loss, policy_loss are not finite at an update from 0 to 1"):
        check.check(1)


class BrokenAtFive(MemUP):
    """Loses its loss at update 5."""

    def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        found = super().losses(chunk, memory)
        return found | {"local_loss": found["local_loss"] * (torch.nan if chunk.step == 5 else 1)}


@pytest.mark.parametrize("device", ["cpu", "accelerator"])
def test_the_last_good_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(losses, "_is_free_to_read", lambda x: device == "cpu")
    data = TMazeDataModule(length=20, num_train=8, num_val=4, chunk_length=5, lanes=4, seed=1)
    kept = ModelCheckpoint(tmp_path, "last", every_n_train_steps=2, enable_version_counter=False)
    trainer = quiet_trainer(20, [kept], limit_val_batches=0, enable_checkpointing=True)
    with pytest.raises(MemUPError, match="local_loss is not finite"):
        trainer.fit(BrokenAtFive(data.task), data)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["global_step"] == 4
    assert all(x.isfinite().all() for x in content["state_dict"].values())
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
