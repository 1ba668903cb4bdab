"""The columns on which predictions depend: those that decide the outcome, whatever else is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytorch_lightning import Trainer, seed_everything

from memup_lightning.callbacks import Verdict
from memup_lightning.callbacks.overfitting import column_use
from memup_lightning.callbacks.overfitting.column_use import used_columns
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.models.eval_mode import eval_mode
from memup_lightning.modules import MemUP
from memup_lightning.specs import FieldSpec
from tests.training import quiet_trainer

EPISODES, ROWS = 400, 20
NOISE = ["a", "b", "c"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last row is a fault where the valve was opened at the first one, and it is hot there."""
    pandas = pytest.importorskip("pandas")
    draw = np.random.default_rng(1)
    opened, heat = draw.integers(0, 2, EPISODES), draw.standard_normal((EPISODES, ROWS))
    valve = np.full((EPISODES, ROWS), "-", dtype=object)
    valve[:, 0] = np.array(["left", "right"])[opened]
    fault = np.full((EPISODES, ROWS), None, dtype=object)
    fault[:, -1] = np.where((opened == 1) & (heat[:, -1] > 0), "yes", "no")
    columns: dict[str, Any] = {name: draw.standard_normal(EPISODES * ROWS) for name in NOISE}
    columns["loads"] = list(draw.standard_normal((EPISODES * ROWS, 2)).astype(np.float32))
    columns |= {"heat": heat.ravel(), "valve": valve.ravel(), "fault": fault.ravel()}
    columns["heat"][draw.random(EPISODES * ROWS) < 0.02] = np.nan
    path = tmp_path_factory.mktemp("table") / "a.parquet"
    pandas.DataFrame(columns | {"unit": np.repeat(np.arange(EPISODES), ROWS)}).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def fitted(table: Path) -> tuple[MemUP, ArrayDataModule, Verdict]:
    seed_everything(1)
    data = ArrayDataModule(str(table), y="fault", episode="unit", missing="mask", lanes=64)
    model, verdict = MemUP(data.task), Verdict()
    trainer: Trainer = quiet_trainer(
        400, [verdict], val_check_interval=200, check_val_every_n_epoch=None, max_epochs=-1
    )
    trainer.fit(model, data)
    return model, data, verdict


def used(model: MemUP, data: ArrayDataModule) -> tuple[str, ...]:
    with eval_mode(model):
        return used_columns(model, data.splits["val"], data.table_columns)


@pytest.mark.learning
def test_predictions_depend_on_what_decides_the_outcome(fitted: tuple[MemUP, ArrayDataModule, Verdict]) -> None:
    model, data, verdict = fitted
    assert set(used(model, data)) == {"valve", "heat"}
    assert verdict.measurements is not None
    assert verdict.measurements.columns.used == used(model, data)


@pytest.mark.learning
def test_where_the_memory_uses_nothing_no_column_is_named(fitted: tuple[MemUP, ArrayDataModule, Verdict]) -> None:
    _, data, _ = fitted
    seed_everything(1)
    assert used(MemUP(data.task), data) == ()


@pytest.mark.learning
def test_columns_of_episodes_that_are_too_long_are_not_named(
    fitted: tuple[MemUP, ArrayDataModule, Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, _ = fitted
    monkeypatch.setattr(column_use, "_MAX_IN_SEQUENCE", ROWS * 6 - 1)
    assert used(model, data) == ()


def test_steps_as_they_are_are_predicted_once_and_with_a_column_of_others_twice(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ArrayDataModule(str(table), y="fault", episode="unit", missing="mask", lanes=64)
    seed_everything(1)
    model, calls = MemUP(data.task), []
    data.setup("fit")
    predict = model.evaluated_nll
    monkeypatch.setattr(model, "evaluated_nll", lambda *given: calls.append(1) or predict(*given))
    used(model, data)
    assert len(data.table_columns) == 6
    assert len(calls) == 1 + 6 * 4 * 2  # four other episodes lend each column


@pytest.mark.learning
def test_columns_of_an_array_without_names_are_measured_by_their_number(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    x = draw.standard_normal((EPISODES, ROWS, 6)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, y=(x[:, 0, 2] > 0).astype(np.int64))
    seed_everything(1)
    data = ArrayDataModule(str(tmp_path / "a.npz"), lanes=64)
    model, verdict = MemUP(data.task), Verdict()
    quiet_trainer(300, [verdict], val_check_interval=150, check_val_every_n_epoch=None, max_epochs=-1).fit(model, data)
    assert verdict.measurements is not None
    assert verdict.measurements.columns.used == ("x[2]",)


def test_columns_are_matched_by_their_whole_name() -> None:
    fields = FieldSpec((4,), names=("temp[0]", "loads[0]", "loads[1]", "at (seconds since the previous row)"))
    for columns, expected in (
        (["temp[0]"], [True, False, False, False]),
        (["loads"], [False, True, True, False]),
        (["at"], [False, False, False, True]),
    ):
        assert column_use.of_columns("x", fields, columns).tolist() == expected
    assert column_use.of_columns("x", FieldSpec((3,)), ["x[1]"]).tolist() == [False, True, False]
    assert column_use.of_columns("x", FieldSpec((2, 2)), ["x"]).tolist() == [True]
