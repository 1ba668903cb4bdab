"""Fixtures of the tests of serving: a short run on a table of machine logs, and its Predictor."""

from __future__ import annotations

from pathlib import Path

import pytest

from memup_lightning import Predictor
from memup_lightning.cli.main import main
from tests.serving.machine_logs import logs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on a table."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path_factory.mktemp("run")
    parquet.write_table(pyarrow.table(logs(30)), folder / "logs.parquet")
    options = {"train": folder / "logs.parquet", "y": "fault", "episode": "machine", "time": "when", "missing": "mask"}
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
    main(
        [
            *["fit", "--model=MemUP", "--model.memory=LSTM", "--model.memory.hidden_size=8", "--data=ArrayDataModule"],
            *[f"--data.{name}={value}" for name, value in options.items()],
            *["--data.window=2", "--trainer.max_steps=3", "--trainer.logger=CSVLogger"],
            *[f"--trainer.logger.save_dir={folder}", *quiet],
        ]
    )
    return folder / "lightning_logs"


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return Predictor.load(run)
