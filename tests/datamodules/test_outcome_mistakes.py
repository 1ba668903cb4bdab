"""Outcomes that were given by mistake: each is refused, or said, whatever form the data have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.datamodules.test_arrays import (
    module,
    write_feather,
    write_npz,
    write_parquet,
    write_stream,
)

TABLES = [write_parquet, write_feather, write_stream]
Write = Callable[..., str]


@pytest.mark.parametrize("write", [write_npz, *TABLES])
def test_an_outcome_among_the_inputs_is_refused(write: Write, tmp_path: Path) -> None:
    source = write(tmp_path)
    x = "x" if write is write_npz else "a"
    with pytest.raises(
        MemUPError, match=rf"x=\['{x}', 'y'\] names 'y', which is the outcome .*; leave it out of x, or"
    ):
        module(source, x=[x, "y"])
    with pytest.raises(MemUPError, match=r"names 'b', which is the outcome"):
        module(source, x=[x, "b"], y=["y", "b"])


@pytest.mark.parametrize("given", [{"context": ("x", "outcome")}, {"inputs": {"x": 0, "outcome": 0}}])
def test_an_outcome_in_the_context_of_a_task_is_refused(given: dict[str, Any]) -> None:
    fields = {"x": FieldSpec((2,)), "outcome": FieldSpec()}
    with pytest.raises(
        MemUPError, match="the model would read the outcome that it predicts; leave it out of the context"
    ):
        TaskSpec(**{"fields": fields, "inputs": {"x": 0}, "context": ("x",)} | given)
    TaskSpec(fields, {"x": 0, "outcome": 1}, ("x",))
