"""Losses that are not finite end a run."""

from __future__ import annotations

import pytest
import torch

from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import losses
from memup_lightning.modules.losses import FiniteLoss

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
