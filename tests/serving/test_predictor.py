"""Predictor: rows of whole tables and steps of streams mean what they meant in training."""

from __future__ import annotations

import datetime
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning import Predictor, StreamState
from memup_lightning.cli.main import main
from memup_lightning.datamodules import ArrayDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import GRU, LSTM
from memup_lightning.models.outcomes import QuantileOutcome
from memup_lightning.modules import MemUP
from tests.training import quiet_trainer

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import csv, parquet  # noqa: E402 (only where it is installed)

BEGIN = datetime.datetime(2026, 1, 1)


def logs(machines: int = 10, seed: int = 0) -> dict[str, list[Any]]:
    """Rows of several machines in the order of time, so that episodes are apart: gaps, text, times, lists."""
    rng = np.random.default_rng(seed)
    machine = np.repeat(np.arange(machines), rng.integers(4, 8, machines))
    rng.shuffle(machine)
    rows = len(machine)
    last = {number: row for row, number in enumerate(machine)}
    return {
        "machine": [f"M{number}" for number in machine],
        "when": [BEGIN + datetime.timedelta(seconds=x) for x in np.cumsum(rng.exponential(5.0, rows))],
        "speed": [None if rng.random() < 0.2 else float(x) for x in rng.normal(300, 40, rows)],
        "mode": [str(x) for x in rng.choice(["idle", "run", "stop"], rows)],
        "force": [[float(x), float(-x)] for x in rng.normal(0, 2, rows)],
        "fault": [["no", "yes"][number % 2] if last[number] == row else None for row, number in enumerate(machine)],
    }


def without_times(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Columns of one number or text each, a machine after the other: what a step reads without arrays."""
    order = sorted(range(len(rows["machine"])), key=rows["machine"].__getitem__)
    rows |= {"heat": [float(n) for n in order]}
    return {name: [rows[name][n] for n in order] for name in ("machine", "speed", "heat", "mode", "fault")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on a table."""
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


@pytest.mark.parametrize("missing", ["mask", "previous"])
@pytest.mark.parametrize("simple", [False, True])
def test_the_steps_of_a_stream_equal_those_of_whole_episodes(missing: str, simple: bool, tmp_path: Path) -> None:
    def made(machines: int, seed: int) -> dict[str, list[Any]]:
        return without_times(logs(machines, seed)) if simple else logs(machines, seed)

    parquet.write_table(pyarrow.table(made(12, 0)), tmp_path / "logs.parquet")
    how = {"y": "fault", "episode": "machine", "missing": missing, "window": 3}
    how |= {} if simple else {"time": "when"}
    data = ArrayDataModule(tmp_path / "logs.parquet", **how)
    torch.manual_seed(0)
    predictor = Predictor(MemUP(data.task, memory=partial(LSTM, hidden_size=8)), data.reading)
    rows = made(5, 3)
    rows["mode"][7] = "a new one"
    whole = predictor.run(rows, memory=True)
    states: dict[str, StreamState] = {}
    for number, machine in enumerate(rows["machine"]):
        state = states.get(machine, predictor.initial_state())
        row = {name: x[number] for name, x in rows.items() if name != "fault"}
        prediction, states[machine] = predictor.step(row, state)
        np.testing.assert_allclose(prediction.probabilities, whole.probabilities[number], atol=1e-5)
        np.testing.assert_allclose(prediction.memory, whole.memory[number], atol=1e-5)
        assert prediction.value == whole.value[number]


def test_a_simple_row_is_refused_where_a_value_cannot_be_read(tmp_path: Path) -> None:
    table = without_times(logs(12))
    table["speed"] = [x or 300.0 for x in table["speed"]]
    parquet.write_table(pyarrow.table(table), tmp_path / "logs.parquet")
    data = ArrayDataModule(tmp_path / "logs.parquet", y="fault", episode="machine")
    predictor = Predictor(MemUP(data.task), data.reading)
    row, state = {"speed": 300.0, "heat": 1.0, "mode": "run"}, predictor.initial_state()
    expected, _ = predictor.step(row, state)
    for same in ({"speed": 300}, {"speed": np.float32(300)}, {"speed": "300.0"}):
        assert np.array_equal(predictor.step(row | same, state)[0].probabilities, expected.probabilities)
    for change, message in (
        ({"speed": None}, "'speed' is missing"),
        ({"speed": float("inf")}, "'speed' is no finite number"),
        ({"heat": "warm"}, "'heat' is .*give numbers"),
        ({"mode": None}, "'mode' is missing"),
    ):
        with pytest.raises(MemUPError, match=message):
            predictor.step(row | change, state)
    with pytest.raises(MemUPError, match="has no 'heat'"):
        predictor.step({"speed": 1.0, "mode": "run"}, state)


def test_several_streams_are_stepped_at_once_and_begin_again_one_by_one(predictor: Predictor) -> None:
    def row(number: float) -> dict[str, Any]:
        when = BEGIN + datetime.timedelta(seconds=number)
        return {"when": when, "speed": 300 + number, "mode": "run", "force": [number, 0.0]}

    def rows(*numbers: float) -> dict[str, Any]:
        one = [row(number) for number in numbers]
        return {name: [x[name] for x in one] for name in one[0]}

    a, state_a = predictor.step(row(1), predictor.initial_state())
    b, state_b = predictor.step(row(2), predictor.initial_state())
    both, state = predictor.step(rows(1, 2), predictor.initial_state(2))
    np.testing.assert_allclose(both.probabilities, [a.probabilities, b.probabilities], atol=1e-6)
    a, _ = predictor.step(row(3), predictor.initial_state())
    b, _ = predictor.step(row(5), state_b)
    for given in (state, StreamState.join([state_a, state_b]), StreamState.join(state.split())):
        both, _ = predictor.step(rows(3, 5), given, is_first=[True, False])
        np.testing.assert_allclose(both.probabilities, [a.probabilities, b.probabilities], atol=1e-6)


def test_a_time_may_be_text_as_json_has_it(predictor: Predictor) -> None:
    def second(*times: Any) -> Any:
        state = predictor.initial_state()
        for when in times:
            row = {"when": when, "speed": 1.0, "mode": "run", "force": [1.0, 0.0]}
            prediction, state = predictor.step(row, state)
        return prediction.memory

    meant = second(BEGIN, BEGIN + datetime.timedelta(seconds=90))
    assert np.array_equal(second("2026-01-01 00:00:00.000000001", "2026-01-01T00:01:30"), meant)
    assert np.array_equal(second("2026-01-01T00:00:00Z", "2026-01-01T01:01:30+01:00"), meant)
    assert not np.array_equal(second("2026-01-01", "2026-01-02"), meant)
    both, _ = predictor.step(
        {"when": ["2026-01-01", BEGIN], "speed": [1.0] * 2, "mode": ["run"] * 2, "force": [[1.0, 0.0]] * 2},
        predictor.initial_state(2),
    )
    np.testing.assert_allclose(both.memory[0], both.memory[1], atol=1e-6)


def test_a_state_survives_as_bytes_and_one_of_another_model_is_refused(predictor: Predictor) -> None:
    row = {"when": BEGIN, "speed": None, "mode": "run", "force": [1.0, 0.0]}
    _, state = predictor.step(row, predictor.initial_state())
    again = predictor.state_from_bytes(state.to_bytes())
    assert np.array_equal(predictor.step(row, again)[0].memory, predictor.step(row, state)[0].memory)
    with pytest.raises(MemUPError, match="the state cannot be read"):
        predictor.state_from_bytes(state.to_bytes()[:-40])
    data = TMazeDataModule(length=5)
    other = Predictor(MemUP(data.task, memory=partial(LSTM, hidden_size=4))).initial_state()
    with pytest.raises(MemUPError, match="the state is of another model: its memory_0"):
        predictor.state_from_bytes(other.to_bytes())


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
    with pytest.raises(MemUPError, match="the observation has no 'mode'; give the columns when, speed, force, mode"):
        predictor.step(row, predictor.initial_state())


def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(predictor: Predictor, tmp_path: Path, run: Path) -> None:
    table = pyarrow.table(logs(3))
    with pytest.raises(MemUPError, match="the table has no 'mode'"):
        predictor.run(table.drop_columns("mode"))
    with pytest.raises(MemUPError, match="list is no table"):
        predictor.run([1, 2])
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


def test_a_stream_is_not_silent_about_values_that_training_did_not_have_nor_about_time_that_goes_back(
    run: Path,
) -> None:
    def warned(mode: Any, *seconds: int) -> list[str]:
        state = served.initial_state()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for second in seconds:
                when = BEGIN + datetime.timedelta(seconds=second)
                _, state = served.step({"when": when, "speed": 300.0, "mode": mode, "force": [1.0, 0.0]}, state)
        return [str(warning.message) for warning in caught]

    served = Predictor.load(run)
    assert warned("run", 5, 6, 6) == []
    (message,) = warned("sing", 1, 2, 3)
    assert "'mode' has a value that the training episodes do not have, which counts as unknown: 'sing'" in message
    assert warned("sing", 1) == []  # once
    assert "5" in warned(5, 1)[0]
    (message,) = warned("run", 5, 4)
    assert "'when' goes back in time" in message


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
        UserWarning, match=r"--on test: the split of the run's data; write --on \./test for what is there"
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


def test_a_checkpoint_tells_the_range_of_its_training_file(run: Path) -> None:
    predictor = Predictor.load(run, "last")
    row: dict[str, Any] = {"when": BEGIN, "speed": 300.0, "mode": "run", "force": [0.0, 0.0]}
    with pytest.warns(UserWarning, match="'speed' is far from its training data: it is 900, .* from "):
        predictor.step(row | {"speed": 900.0}, predictor.initial_state())
