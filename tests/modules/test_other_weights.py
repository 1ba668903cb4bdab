"""A checkpoint of another model is refused in Python too, with what differs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from memup_lightning.datamodules import CopyDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import GRU, LSTM
from memup_lightning.modules import TBPTT, MemUP
from tests.modules.small_runs import data_of, model_of
from tests.training import quiet_trainer


def trainer(*callbacks: Any) -> Trainer:
    return quiet_trainer(2, callbacks, limit_val_batches=0, enable_checkpointing=bool(callbacks))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    data = data_of()
    trainer(ModelCheckpoint(tmp_path, filename="one")).fit(model_of(data), data)
    return tmp_path / "one.ckpt"


def other(kind: Any, core: Any, size: int) -> Any:
    data = data_of()
    return kind(data.task, memory=partial(core, hidden_size=size)), data


def of_copy() -> Any:
    data = CopyDataModule(length=10, num_train=8, num_val=4, num_test=4, lanes=4, chunk_length=5)
    return MemUP(data.task, memory=partial(LSTM, hidden_size=8)), data


def test_a_run_is_not_continued_from_the_weights_of_another_model(written: Path) -> None:
    said = r"the checkpoint that is loaded: does not fit this model: {} in the checkpoint and"
    for model, data in (other(MemUP, LSTM, 9), other(MemUP, GRU, 8)):
        with pytest.raises(MemUPError, match=said.format(r"memory.rnn.weight_ih_l0 is \[32, 6\]")):
            trainer().fit(model, data, ckpt_path=str(written))
    with pytest.raises(MemUPError, match=said.format("target_weight is .*")):
        trainer().fit(*other(TBPTT, LSTM, 8), ckpt_path=str(written))
    with pytest.raises(MemUPError, match=said.format(".*")):
        trainer().test(*of_copy(), ckpt_path=str(written), verbose=False)


def test_a_model_is_not_built_from_the_weights_of_another(written: Path) -> None:
    with pytest.raises(MemUPError, match=r"memory.rnn.weight_ih_l0 is \[32, 6\] in the checkpoint and \[256, 6\] here"):
        MemUP.load_from_checkpoint(written)
    MemUP.load_from_checkpoint(written, memory=partial(LSTM, hidden_size=8))
