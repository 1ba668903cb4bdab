"""Rows that are not of the streams of a state, and columns that are none, are refused by their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memup_lightning import Predictor
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP
from tests.datamodules.machine_tables import said
from tests.serving.machine_logs import logs

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module", params=["mask", "previous"])
def predictor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    path = tmp_path_factory.mktemp("logs") / "logs.parquet"
    parquet.write_table(pyarrow.table(logs(12)), path)
    data = ArrayDataModule(path, y="fault", episode="machine", time="when", missing=request.param)
    return Predictor(MemUP(data.task), data.reading)


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {name: x[number] for name, x in logs(3).items() if name != "fault"} | changes


def test_a_row_of_another_episode_is_refused(predictor: Predictor) -> None:
    _, state = predictor.step(row(machine=7), predictor.initial_state())
    state = predictor.state_from_bytes(state.to_bytes())
    for same in ({"machine": 7.0}, {"machine": "7"}, {"machine": None}, {}):
        given = row(1, machine=7) | same
        if not same:
            del given["machine"]
        _, state = predictor.step(given, state)
    with pytest.raises(
        MemUPError, match=r"the row is of 'machine' 9, and the state of another one; .*initial_state\(\)"
    ):
        predictor.step(row(2, machine=9), state)
    predictor.step(row(2, machine=9), state, is_first=[True])


def test_streams_may_be_of_other_episodes_after_they_began_again(predictor: Predictor) -> None:
    two = {name: [x, x] for name, x in row().items()}
    _, state = predictor.step(two | {"machine": ["a", "b"]}, predictor.initial_state(2))
    with pytest.raises(MemUPError, match="the row in stream 1 is of 'machine' 'c', and the state of another one"):
        predictor.step(two | {"machine": ["a", "c"]}, state)
    _, state = predictor.step(two | {"machine": ["a", "c"]}, state, is_first=[False, True])
    with pytest.raises(MemUPError, match="'machine' 'b'"):
        predictor.step(two | {"machine": ["a", "b"]}, state)


@pytest.mark.parametrize("name", ["machine", "when", "speed", "mode"])
def test_values_that_are_not_one_for_each_stream_are_refused(predictor: Predictor, name: str) -> None:
    three = {name: [x] * 3 for name, x in row().items()}
    state = predictor.initial_state(3)
    with pytest.raises(
        MemUPError, match=f"'{name}' holds values of 2 streams, and the state 3 streams; give one for each"
    ):
        predictor.step(three | {name: three[name][:2]}, state)
    with pytest.raises(MemUPError, match=f"'{name}' holds one value, and the state 3 streams"):
        predictor.step(three | {name: "abc" if name == "mode" else three[name][0]}, state)


def test_what_is_missing_among_text_may_be_nan_as_pandas_has_it(predictor: Predictor) -> None:
    table = {name: list(x) for name, x in logs(3).items()}
    nan, none = ({**table, "mode": [x, *table["mode"][1:]]} for x in (float("nan"), None))
    assert np.array_equal(predictor.run(nan).probabilities, predictor.run(none).probabilities)
    with pytest.raises(MemUPError, match=r"the table: 'mode' holds values that are no column: .*; give numbers, texts"):
        predictor.run({**table, "mode": [7, *table["mode"][1:]]})


def test_names_of_episodes_that_are_spelled_alike_are_said(predictor: Predictor) -> None:
    table = logs(3)
    table["machine"] = [f"{x} " if number == 2 else str(x) for number, x in enumerate(table["machine"])]
    assert any("each is an episode of its own" in x for x in said(lambda: predictor.run(table)))
