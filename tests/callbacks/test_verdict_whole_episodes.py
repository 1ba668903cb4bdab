"""Whole episodes in a chunk are tried first where a memory memorizes short ones whose only outcome is at their end."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from memup_lightning.callbacks.verdict.command import whole_command
from memup_lightning.callbacks.verdict.measuring.measure import measure
from memup_lightning.callbacks.verdict.rules.judge import judge
from tests.callbacks.cue_task import CueData, keeping_model
from tests.callbacks.made_runs import FLAT, HALF, HELD, STANDING, changed, judged, run, split, table

LOGS: dict[str, Any] = {"ends_alone": True, "longest": 90, "chunk_length": 32}
RUNS = {
    "overfitted": run(split(-1.4), split(0.9), history=HELD, episodes_option="num_train", **LOGS),
    "memorized": run(split(-1.4), split(0.9), history=FLAT, **LOGS),
    "partly_explained": run(HALF, split(0.59), history=STANDING, **LOGS),
}


@pytest.mark.parametrize("name", RUNS)
def test_short_episodes_with_one_outcome_at_their_end_are_held_by_a_chunk_first(name: str) -> None:
    found = judged(RUNS[name])[0]
    assert found.name == name
    assert found.try_first == (
        "start again with gradients that cross whole episodes: --data.chunk_length=90; an update then takes up to 2.8 "
        "times as long. If that is not enough, give more training episodes"
    )
    given = shlex.split("fit --data ArrayDataModule --data.init_args.chunk_length 32")
    command = whole_command(given, found.try_first, "last.ckpt", False)
    assert command == "memup fit --data ArrayDataModule --data.chunk_length=90"
    assert "episodes: chunk_length=90; an" in str(judge(RUNS[name])[0].try_first)


def test_fewer_columns_come_after_it() -> None:
    columns = table(("load", "oil temp", "c", "d", "e", "f"))
    found = judged(changed(RUNS["overfitted"], episodes_option=None, inputs=columns, used_columns=("load",)))[0]
    assert str(found.try_first).endswith("give more training episodes, or read fewer columns")


@pytest.mark.parametrize(
    "other",
    [{"ends_alone": False}, {"longest": 129}, {"chunk_length": 90}, {"needs_targets": False}],
    ids=["other outcomes", "long", "whole", "no targets"],
)
@pytest.mark.parametrize("name", RUNS)
def test_other_runs_are_advised_as_ever(name: str, other: dict[str, Any]) -> None:
    assert "chunk_length" not in str(judged(changed(RUNS[name], **other))[0].try_first)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"marked": False}, True),
        ({"judged": [20, 39]}, False),
        ({"judged": [38]}, False),
        ({"length": 129}, False),
    ],
    ids=["last", "not marked", "two", "before the last", "long"],
)
def test_the_places_of_outcomes_are_measured(given: dict[str, Any], expected: bool) -> None:
    data = CueData(**given)
    data.setup("fit")
    assert measure(keeping_model(data.task, 10), data, updates=1).data.ends_alone == expected
