"""A run that begins with the weights of another."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning import Callback

from memup_lightning.callbacks import InitialWeights
from memup_lightning.cli.main import main
from memup_lightning.datamodules import CopyDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from tests.command_line import tiny
from tests.training import quiet_trainer


def run(
    updates: int,
    length: int,
    *callbacks: Callback,
    hidden: int = 5,
    ckpt_path: Path | None = None,
    save: Path | None = None,
) -> MemUP:
    """Train on copy tasks of a length, and save a checkpoint; all runs have the same seed."""
    data = CopyDataModule(length=length, copied=2, num_train=8, num_val=2, num_test=2, lanes=4, chunk_length=5, seed=1)
    torch.manual_seed(7)
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=hidden))
    trainer = quiet_trainer(updates, callbacks, limit_val_batches=0)
    trainer.fit(model, data, ckpt_path=ckpt_path)
    if save is not None:
        trainer.save_checkpoint(save)
    return model


def same(one: MemUP, other: MemUP) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("folder", [False, True])
def test_a_run_on_longer_episodes_begins_with_the_weights_of_another(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "last.ckpt"
    taught = run(3, 6, save=path)
    assert not same(run(0, 20), taught)
    assert same(run(0, 20, InitialWeights(str(tmp_path if folder else path))), taught)
    assert not same(run(1, 20, InitialWeights(str(path))), taught)  # and learns on


def test_a_resumed_run_continues_with_its_own_weights_even_where_the_others_are_gone(tmp_path: Path) -> None:
    own = run(5, 6, save=tmp_path / "own.ckpt")
    gone = InitialWeights(str(tmp_path / "gone.ckpt"))
    assert same(run(5, 6, gone, ckpt_path=tmp_path / "own.ckpt"), own)


def test_weights_of_other_sizes_are_refused(tmp_path: Path) -> None:
    run(3, 6, save=tmp_path / "last.ckpt")
    with pytest.raises(MemUPError, match=r"InitialWeights path .*last.ckpt: does not fit this model: .* here"):
        run(0, 6, InitialWeights(str(tmp_path / "last.ckpt")), hidden=6)


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match="no such file"):
        run(0, 6, InitialWeights(str(tmp_path / "none.ckpt")))
    with pytest.raises(MemUPError, match="no intact checkpoint"):
        run(0, 6, InitialWeights(str(tmp_path)))


def test_the_command_line_takes_the_newest_run_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["memup_lightning"])
    given = tiny(tmp_path)
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(given))
    main(["fit", "--config=short.yaml"])
    again = ["--trainer.callbacks+=InitialWeights", "--trainer.callbacks.path=runs/tiny", "--data.init_args.length=60"]
    main(["fit", "--config=short.yaml", *again])
    assert "taking runs/tiny/version_0/checkpoints" in capsys.readouterr().out
