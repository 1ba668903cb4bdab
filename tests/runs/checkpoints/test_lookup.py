"""The config of a run names its own checkpoints, and those of runs that continue it."""

from pathlib import Path

import pytest
from jsonargparse import Namespace

from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP
from memup_lightning.runs.checkpoints.lookup import kept_checkpoint, last_checkpoint, run_of_config
from memup_lightning.serving import Predictor
from tests.runs.made_runs import make_run


def test_config_of_a_run_takes_that_runs_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    logs, trainer = Path("lightning_logs"), Namespace(default_root_dir=None, logger=None, callbacks=None)
    first, other = make_run(logs, 0), make_run(logs, 1)
    assert kept_checkpoint(trainer)[0].parent.parent == other
    run = run_of_config(first / "config.yaml")
    assert kept_checkpoint(trainer, run)[0] == first / "checkpoints" / "best_gain.ckpt"
    continued = make_run(logs, 2, f"{first}/checkpoints/step=10.ckpt")
    again = make_run(logs, 3, f"{continued}/checkpoints/step=10.ckpt")
    make_run(logs, 4)
    found = last_checkpoint(trainer, True, run)
    assert found is not None
    assert found[0] == again / "checkpoints" / "step=10.ckpt"
    assert kept_checkpoint(trainer, other)[0].parent.parent == other


def test_config_that_no_run_wrote_names_no_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert run_of_config(tmp_path / "config.yaml") is None
    assert run_of_config(make_run(tmp_path, 0) / "checkpoints") is None


def test_missing_checkpoint_is_refused_with_one_that_is_there(tmp_path: Path) -> None:
    run = make_run(tmp_path, 0)
    with pytest.raises(MemUPError, match=r"last\.ckpt: no such file; did you mean .*step=10\.ckpt|best_gain\.ckpt"):
        MemUP.load_from_checkpoint(run / "checkpoints" / "last.ckpt")


def test_run_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    trainer = Namespace(default_root_dir=str(tmp_path), logger=None, callbacks=None)
    make_run(tmp_path / "lightning_logs", 1)
    empty = tmp_path / "lightning_logs" / "version_0"
    empty.mkdir()
    with pytest.raises(MemUPError, match="version_0"):
        kept_checkpoint(trainer, empty)


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "metrics.csv"])
def test_another_file_of_a_run_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("trainer: null")
    with pytest.raises(MemUPError, match=f"{name}: is no checkpoint; give the folder of the run"):
        Predictor.load(tmp_path / name)
