"""Predictor: steps of streams, which arrive one by one, mean what they meant in training."""

from __future__ import annotations

import datetime
import subprocess
import sys
import warnings
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning import Predictor, StreamState
from memup_lightning.datamodules import ArrayDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemoryTask, MemUP
from memup_lightning.modules.loading import load_module
from memup_lightning.serving.inputs.reading import saved_reading
from tests.serving.machine_logs import BEGIN, logs, without_times

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


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
    for same in ({"speed": 300}, {"speed": np.float32(300)}, {"speed": Decimal("300.0")}):
        assert np.array_equal(predictor.step(row | same, state)[0].probabilities, expected.probabilities)
    for change, message in (
        ({"speed": None}, "'speed' is missing"),
        ({"speed": float("inf")}, "'speed' is no finite number"),
        ({"heat": "warm"}, "'heat' is 'warm'; give numbers, not text"),
        ({"heat": "1.0"}, "'heat' is '1.0'; give numbers, not text"),  # as run refuses it
        ({"heat": np.str_("1.0")}, "'heat' is .*; give numbers, not text"),
        ({"mode": None}, "'mode' is missing"),
    ):
        with pytest.raises(MemUPError, match=message):
            predictor.step(row | change, state)
    with pytest.raises(MemUPError, match="has no 'heat'"):
        predictor.step({"speed": 1.0, "mode": "run"}, state)


def test_a_text_is_no_number_where_another_one_is_missing(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table(without_times(logs(12))), tmp_path / "logs.parquet")
    data = ArrayDataModule(tmp_path / "logs.parquet", y="fault", episode="machine", missing="mask")
    predictor = Predictor(MemUP(data.task), data.reading)
    with pytest.raises(MemUPError, match=r"'heat' is '1\.0'; give numbers, not text"):
        predictor.step({"speed": None, "heat": "1.0", "mode": "run"}, predictor.initial_state())


@pytest.mark.parametrize("missing", ["mask", "previous"])
@pytest.mark.parametrize("simple", [False, True])
def test_what_pandas_has_for_a_missing_value_counts_as_none(missing: str, simple: bool, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = without_times(logs(12)) if simple else logs(12)
    parquet.write_table(pyarrow.table(rows), tmp_path / "logs.parquet")
    data = ArrayDataModule(tmp_path / "logs.parquet", y="fault", episode="machine", missing=missing)
    predictor = Predictor(MemUP(data.task), data.reading)
    row, state = {name: x[0] for name, x in rows.items() if name not in ("machine", "fault")}, predictor.initial_state()
    for name in ("speed", "mode"):
        expected = predictor.step(row | {name: None}, state)[0].probabilities
        for value in (pandas.NA, pandas.NaT, float("nan"), np.float32("nan")):
            assert np.array_equal(predictor.step(row | {name: value}, state)[0].probabilities, expected)
            both = {key: [x, x] for key, x in (row | {name: value}).items()}
            two = predictor.step(both, predictor.initial_state(2))[0].probabilities
            np.testing.assert_allclose(two[1], expected, atol=1e-6)


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


@pytest.mark.parametrize("state", [None, torch.zeros(3)], ids=["none", "tensor"])
def test_a_step_without_a_state_says_where_one_comes_from(predictor: Predictor, state: Any) -> None:
    row = {"when": BEGIN, "speed": None, "mode": "run", "force": [1.0, 0.0]}
    with pytest.raises(MemUPError, match=rf"state is a {type(state).__name__}; give predictor\.initial_state\(\)"):
        predictor.step(row, state)


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
    with pytest.raises(MemUPError, match="the state is of another model"):
        predictor.state_from_bytes(other.to_bytes())
    with pytest.raises(MemUPError, match="the state is of another model"):
        predictor.step(row, other)


def test_a_state_of_the_same_networks_with_other_weights_is_refused(predictor: Predictor, run: Path) -> None:
    row = {"when": BEGIN, "speed": 1.0, "mode": "run", "force": [1.0, 0.0]}
    _, state = predictor.step(row, predictor.initial_state())
    trained_on = load_module(next(run.rglob("last.ckpt")), MemoryTask)[0]
    next(trained_on.memory.parameters()).data[0, 0] += 1e-3
    other = Predictor(trained_on, saved_reading(torch.load(next(run.rglob("last.ckpt")), weights_only=True)))
    advice = r"begin the stream with initial_state\(\), or load the checkpoint"
    for given in (state, StreamState.join([state]), *StreamState.join([state, state]).split()):
        with pytest.raises(MemUPError, match=f"the state is of another model .*{advice}"):
            other.step(row, given, is_first=[True])
        with pytest.raises(MemUPError, match=advice):
            other.state_from_bytes(given.to_bytes())
    with pytest.raises(MemUPError, match="of another model"):
        StreamState.join([state, other.initial_state()])


def test_a_model_keeps_its_fingerprint_in_another_process_which_warns_of_nothing_deprecated(
    predictor: Predictor, run: Path
) -> None:
    _, state = predictor.step({"when": BEGIN, "speed": 1.0, "mode": "run", "force": [1, 0]}, predictor.initial_state())
    script = (
        "import sys; from memup_lightning import Predictor; p = Predictor.load(sys.argv[1]);"
        "p.state_from_bytes(sys.stdin.buffer.read()); print(p.fingerprint)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", script, str(run)],
        input=state.to_bytes(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split()[-1] == predictor.fingerprint
    assert "deprecated" not in done.stderr.decode()


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
