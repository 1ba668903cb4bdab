"""Predictor: rows of whole tables mean what they meant in training."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning import Predictor
from memup_lightning.cli.main import main
from memup_lightning.datamodules import ArrayDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import GRU, LSTM
from memup_lightning.models.outcomes import QuantileOutcome
from memup_lightning.modules import MemUP
from tests.serving.machine_logs import BEGIN, logs
from tests.training import quiet_trainer

pyarrow = pytest.importorskip("pyarrow")
csv = pytest.importorskip("pyarrow.csv")
parquet = pytest.importorskip("pyarrow.parquet")


def test_a_table_is_predicted_row_by_row_whatever_holds_it(predictor: Predictor, tmp_path: Path) -> None:
    table = pyarrow.table({name: x for name, x in logs(6, 1).items() if name != "fault"})
    parquet.write_table(table, tmp_path / "new.parquet")
    expected = predictor.run(tmp_path / "new.parquet", memory=True)
    assert len(expected) == table.num_rows
    assert list(expected.key) == table["machine"].to_pylist()
    assert expected.classes == ("no", "yes")
    assert np.allclose(expected.probabilities.sum(1), 1, atol=1e-6)
    assert (expected.value == np.array(["no", "yes"])[expected.probabilities.argmax(1)]).all()
    assert (expected.probability("yes") == expected.probabilities[:, 1]).all()
    assert expected.memory.shape == (table.num_rows, 8)
    for given in (table, table.to_pandas(), table.to_pydict()):
        assert np.array_equal(predictor.run(given).probabilities, expected.probabilities)
    unknown = table.append_column("fault", pyarrow.array(["never seen"] * table.num_rows))
    assert np.array_equal(predictor.run(unknown).probabilities, expected.probabilities)  # outcomes are not read


@pytest.mark.parametrize("sorted_by", [True, False])
@pytest.mark.parametrize("zone", ["", "Z"])
def test_times_as_text_are_read_as_in_a_csv_file(sorted_by: bool, zone: str, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = logs(12) | {"when": [f"{time:%Y-%m-%d %H:%M:%S}{zone}" for time in logs(12)["when"]]}
    del rows["force"]
    pandas.DataFrame(rows).to_csv(tmp_path / "logs.csv", index=False)
    how: dict[str, Any] = {"y": "fault", "episode": "machine", "missing": "mask"}
    how |= {"time": "when", "x": ["speed", "mode"]} if sorted_by else {}
    data = ArrayDataModule(tmp_path / "logs.csv", **how)
    predictor = Predictor(MemUP(data.task), data.reading)
    expected = predictor.run(tmp_path / "logs.csv").probabilities
    table = pandas.read_csv(tmp_path / "logs.csv")
    for given in (
        table,
        table.astype({"when": "category"}),
        pyarrow.Table.from_pandas(table),
        table.drop(columns="fault").to_dict("list"),
    ):
        assert np.array_equal(predictor.run(given).probabilities, expected)
    table["when"] = "31.01.2026 08:00"
    with pytest.raises(MemUPError, match=r"'when'.*pandas\.to_datetime\(table\['when'\]\)"):
        predictor.run(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": "fast"}, "'speed' is .*fast.*; give numbers"),
        ({"speed": float("inf")}, "'speed' is no finite number"),
        ({"force": [1.0]}, r"'force' holds \[1, 1\] numbers; give 2"),
        ({"when": "yesterday"}, "'when' is .*yesterday.*; give times"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(predictor: Predictor, change: dict[str, Any], message: str) -> None:
    row = {"when": BEGIN, "speed": 1.0, "mode": "run", "force": [1.0, 0.0]}
    with pytest.raises(MemUPError, match=message):
        predictor.step(row | change, predictor.initial_state())
    del row["mode"]
    with pytest.raises(MemUPError, match="the row has no 'mode'; give the columns when, speed, force, mode"):
        predictor.step(row, predictor.initial_state())


def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(predictor: Predictor, tmp_path: Path, run: Path) -> None:
    table = pyarrow.table(logs(3))
    with pytest.raises(MemUPError, match="the table has no 'mode'"):
        predictor.run(table.drop_columns("mode"))
    with pytest.raises(MemUPError, match="list is no table"):
        predictor.run([1, 2])
    with pytest.raises(MemUPError, match=r"no 'machine'; .* in the training data it is the column that says .* add it"):
        predictor.run(table.drop_columns("machine"))
    csv.write_csv(table.drop_columns("force"), tmp_path / "new.csv")
    with pytest.raises(MemUPError, match="has no 'force'"):
        predictor.run(tmp_path / "new.csv")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(MemUPError, match=r"cut\.parquet cannot be read"):
        predictor.run(tmp_path / "cut.parquet")
    with pytest.raises(MemUPError, match="no intact checkpoint in this folder"):
        Predictor.load(tmp_path)
    with pytest.raises(MemUPError, match="'newest' is no choice of weights"):
        Predictor.load(run, "newest")
    with pytest.raises(MemUPError, match=r"interval=1\.5"):
        Predictor.load(run, interval=1.5)


def test_numbers_have_an_interval_in_their_own_unit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 6, 3)).astype(np.float32)
    np.savez(tmp_path / "own.npz", x=x, y=1e4 + 1e3 * x[..., 0])
    for outcome in (None, QuantileOutcome):
        data = ArrayDataModule(tmp_path / "own.npz")
        torch.manual_seed(0)
        model = MemUP(data.task, memory=partial(GRU, hidden_size=8), outcome=outcome)
        quiet_trainer(1, [], limit_val_batches=0).fit(model, data)
        narrow, wide = (Predictor(model, data.reading, level).run({"x": x}) for level in (0.5, 0.9))
        assert wide.probabilities is None
        assert (wide.lower < narrow.lower).all()
        assert (narrow.lower < narrow.value).all()
        assert (narrow.value < narrow.upper).all()
        assert (narrow.upper < wide.upper).all()
        assert 5e3 < wide.value.mean() < 15e3
        predictor = Predictor(model, data.reading)
        prediction, _ = predictor.step(x[0, 0], predictor.initial_state())
        assert prediction.upper == pytest.approx(wide.upper[0], rel=1e-5)


def test_fields_of_other_data_are_given_by_name_and_equal_what_the_trainer_predicts() -> None:
    data = TMazeDataModule(length=8, num_test=3)
    torch.manual_seed(0)
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=4))
    expected = quiet_trainer(0, []).predict(model, data)[0]
    source = data.sources["test"]
    predictor = Predictor(model)
    episodes = [source.read(number, 0, int(length)) for number, length in enumerate(source.lengths)]
    fields = {name: np.concatenate([episode[name] for episode in episodes]) for name in predictor.network.fields}
    with pytest.raises(MemUPError, match="the model was not trained on a table: give a dictionary of the arrays"):
        predictor.run("new.parquet")
    given = predictor.run({**fields, "lengths": source.lengths})
    rows = (np.cumsum(source.lengths) - source.lengths)[expected["episode"]] + expected["step"].numpy()
    assert np.array_equal(given.value[rows], expected["prediction"].numpy())
    state = predictor.initial_state()
    for step in range(int(source.lengths[0])):
        now = {name: x[step] for name, x in fields.items()}
        # What the context does not hold comes with its lag: before the first step there was no reward.
        now |= {name: (fields[name][step - 1] if step else 0 * fields[name][0]) for name in ("reward",)}
        prediction, state = predictor.step(now, state)
        np.testing.assert_allclose(prediction.lower, given.lower[step], atol=1e-5)


def test_predictions_are_written_as_tables(predictor: Predictor, tmp_path: Path) -> None:
    predictions = predictor.run(logs(2), memory=True)
    table = parquet.read_table(predictions.write(tmp_path / "out.parquet"))
    assert table.column_names[:6] == ["machine", "row", "step", "prediction", "probability_no", "probability_yes"]
    assert table.num_columns == 6 + 8
    assert table.num_rows == csv.read_csv(predictions.write(tmp_path / "out.csv")).num_rows
    with pytest.raises(MemUPError, match=r"out.txt: give a name that ends in .csv or .parquet"):
        predictions.write(tmp_path / "out.txt")


def test_predictions_take_the_folder_of_a_run_as_predictor_and_export_do(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = pyarrow.table({name: x for name, x in logs(6, 1).items() if name != "fault"})
    (tmp_path / "test").mkdir()
    parquet.write_table(table, tmp_path / "test" / "new.parquet")
    predict = ["predict", f"--config={run / 'version_0' / 'config.yaml'}", f"--ckpt_path={run / 'version_0'}"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cli = main([*predict, "--on=./test", f"--trainer.logger.save_dir={tmp_path}"])
    assert "best_gain.ckpt" in capsys.readouterr().out or "last.ckpt" in str(cli.trainer.ckpt_path)
    assert not any("the split of the run's data" in str(x.message) for x in caught)
    path = next(tmp_path.rglob("predictions.csv"))
    assert len(path.read_text().splitlines()) == 1 + table.num_rows
    with pytest.warns(
        UserWarning, match=r"--on=test: the split of the run's data; write --on=\./test for what is there"
    ):
        main([*predict, "--on=test", f"--trainer.logger.save_dir={tmp_path}"])


def test_another_unit_than_in_training_is_said(
    run: Path, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    same = {name: x for name, x in logs(6, 1).items() if name != "fault"}
    other = same | {"speed": [None if x is None else x / 3.6 for x in same["speed"]]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.run(same)
    with pytest.warns(UserWarning, match=r"'speed' is far from its training data at .*same unit") as caught:
        predictor.run(other)
    assert not any("force" in str(x.message) for x in caught)
    parquet.write_table(pyarrow.table(other), "other.parquet")
    predict = ["predict", f"--config={run / 'version_0' / 'config.yaml'}", f"--ckpt_path={run / 'version_0'}"]
    with pytest.warns(UserWarning, match="'speed' is far from its training data"):
        main([*predict, "--on=other.parquet", f"--trainer.logger.save_dir={tmp_path}"])


def test_a_checkpoint_holds_the_range_of_its_training_file(run: Path) -> None:
    predictor = Predictor.load(run, "last")
    row: dict[str, Any] = {"when": BEGIN, "speed": 300.0, "mode": "run", "force": [0.0, 0.0]}
    with pytest.warns(UserWarning, match="'speed' is far from its training data: it is 900, .* from "):
        predictor.step(row | {"speed": 900.0}, predictor.initial_state())
