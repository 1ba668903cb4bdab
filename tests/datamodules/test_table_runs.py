"""Runs on a user's table: from the command line to the predictions, and with a model that knows its categories."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning.cli.main import main
from memup_lightning.datamodules import ArrayDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP
from tests.training import quiet_trainer

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402 (only where it is installed)

MACHINES, ROWS = 40, 60
OPTIONS = {"episode": "machine", "y": "fault", "missing": "mask"}


def sensors(
    path: Path, machines: int = MACHINES, seed: int = 0, modes: tuple[str, ...] = ("idle", "purge", "run")
) -> str:
    """A calibration mark near the beginning decides the fault in the last row; raw units, text, times, gaps."""
    rng = np.random.default_rng(seed)
    rows = machines * ROWS
    fault, first = rng.integers(0, 2, machines), np.arange(machines) * ROWS
    mark, last = np.zeros(rows), np.zeros(rows, bool)
    mark[first + rng.integers(0, 10, machines)] = 2 * fault - 1
    last[first + ROWS - 1] = True
    temperature = rng.normal(350, 40, rows)
    temperature[rng.choice(rows, 5, replace=False)] = np.nan
    begin = datetime.datetime(2026, 1, 1)
    label = np.array(["ok", "worn"])[np.repeat(fault, ROWS)]
    columns = {
        "machine": np.repeat([f"M{number:03d}" for number in range(machines)], ROWS),
        "time": [begin + datetime.timedelta(seconds=x) for x in np.cumsum(rng.exponential(1.0, rows))],
        "temperature": temperature,
        "pressure": rng.normal(1e5, 1e3, rows),
        "mark": mark,
        "last": last,
        "mode": rng.choice(modes, rows),
        "fault": pyarrow.array(label, mask=~last),
    }
    parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def model(data: ArrayDataModule | TMazeDataModule) -> MemUP:
    torch.manual_seed(0)
    return MemUP(data.task)


def test_a_table_as_users_have_it_is_trained_on_and_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sensors(Path("sensors.parquet"))
    given = [f"--data.{name}={value}" for name, value in OPTIONS.items()]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
    run = [*quiet, "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=runs"]
    fitted = main(["fit", "--model=MemUP", "--data=ArrayDataModule", "--data.train=sensors.parquet", *given, *run,
                   "--data.lanes=4", "--trainer.max_steps=4", "--trainer.val_check_interval=4"])  # fmt: skip
    out = capsys.readouterr().out
    assert "training rows" in out
    assert "environment steps" not in out
    assert {"val/accuracy", "val/base_rate"} <= fitted.trainer.callback_metrics.keys()
    assert list(fitted.datamodule.task.fields) == ["x", "missing", "mode"]
    saved = str(next(Path("runs").rglob("config.yaml")))
    predict = ["predict", f"--config={saved}", "--ckpt_path=last"]
    writer = ["PredictionWriter", "filename=val.parquet", "memory=true"]
    main(
        [*predict, "--on=val", *(f"--trainer.callbacks{x}" for x in ("+=" + writer[0], *("." + x for x in writer[1:])))]
    )
    own = parquet.read_table("sensors.parquet")
    val = parquet.read_table(next(Path("runs").rglob("val.parquet")))
    assert val.num_rows == MACHINES // 10
    assert val["row"].to_pylist() == sorted(val["row"].to_pylist())
    assert own["machine"].take(val["row"]) == val["machine"]
    assert own["fault"].take(val["row"]).to_pylist() == val["outcome"].to_pylist()
    assert sum(name.startswith("m_") for name in val.column_names) == 64

    new = parquet.read_table(sensors(Path("new.parquet"), machines=3, seed=1)).drop_columns("fault")
    parquet.write_table(new.sort_by("time"), "new.parquet")
    Path("sensors.parquet").unlink()
    main([*predict, "--on=new.parquet"])
    with next(Path("runs").rglob("predictions.csv")).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["machine"] for row in rows} == {"M000", "M001", "M002"}
    assert [int(row["row"]) for row in rows] == list(range(3 * ROWS))  # every row, in their order, without an outcome
    assert all(row["prediction"] in ("ok", "worn") and row["outcome"] == row["correct"] == "" for row in rows)
    assert all(float(row["probability_ok"]) + float(row["probability_worn"]) == pytest.approx(1) for row in rows)

    parquet.write_table(new.drop_columns("mode"), "other.parquet")
    runs = sorted(Path("runs").glob("*/version_*"))
    with pytest.raises(SystemExit):
        main([*predict, "--on=other.parquet"])
    assert sorted(Path("runs").glob("*/version_*")) == runs  # a refused command leaves no folder


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--on=val"], "predict needs the weights of a run"),
        (["--ckpt_path=own.ckpt", "--on=new.parquet"], "TMazeDataModule reads no files; give one of train, val, test"),
    ],
)
def test_what_cannot_be_predicted_is_said_in_a_sentence(
    args: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = TMazeDataModule(length=5, num_train=2, num_val=2, lanes=2)
    trainer = quiet_trainer(1, [], limit_val_batches=0)
    trainer.fit(model(data), data)
    trainer.save_checkpoint("own.ckpt")
    with pytest.raises(SystemExit):
        main(["predict", "--model=MemUP", "--data=TMazeDataModule", *args])
    assert said in capsys.readouterr().err


def test_a_model_predicts_on_a_new_file_without_the_training_file(tmp_path: Path) -> None:
    train, new = (
        tmp_path / "train.parquet",
        sensors(tmp_path / "new.parquet", machines=3, seed=1, modes=("run", "other")),
    )
    data = ArrayDataModule(sensors(train), test=new, lanes=4, **OPTIONS)
    trainer = quiet_trainer(2, [])
    with pytest.warns(UserWarning, match=r"'mode' has values .* unknown: 'other'"):
        trainer.fit(model(data), data)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    (expected,) = trainer.predict(trainer.lightning_module, data)
    train.unlink()
    alone = ArrayDataModule(str(train), test=new, lanes=4, **OPTIONS)
    with pytest.warns(UserWarning, match=r"'mode' has values .* unknown: 'other'"):
        (found,) = quiet_trainer(2, []).predict(MemUP.load_from_checkpoint(tmp_path), alone)
    assert alone.episode_keys("test") == ["M000", "M001", "M002"]
    for name, values in expected.items():
        assert torch.equal(found[name], values)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"modes": ("idle", "other", "run")}, r"names of mode are others than .* \(other where it was purge\)"),
        ({"seed": 1}, r"means of x are others than the model was trained with"),
    ],
)
def test_a_checkpoint_refuses_data_that_mean_something_else(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    data = ArrayDataModule(sensors(tmp_path / "train.parquet"), lanes=4, **OPTIONS)
    trainer = quiet_trainer(1, [])
    trainer.fit(model(data), data)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    other = ArrayDataModule(sensors(tmp_path / "other.parquet", **given), lanes=4, **OPTIONS)
    with pytest.raises(MemUPError, match=said):
        quiet_trainer(1, []).predict(model(other), other, ckpt_path=tmp_path / "own.ckpt")
    with pytest.raises(MemUPError, match=said):  # its task was read before
        quiet_trainer(1, []).predict(MemUP.load_from_checkpoint(tmp_path / "own.ckpt"), other)
