"""Classes that differ in their spelling alone are said when data are loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.datamodules.machine_tables import folder, module, said, write


@pytest.mark.parametrize("name", ["own.parquet", "own.csv"])
def test_classes_that_differ_in_spelling_alone_are_named(name: str, tmp_path: Path) -> None:
    fault, mode = ["yes", "Yes ", "no", "No ", "maybe", "no"], ["on", "ON", "off", "idle", "on", "ON"]
    source = write(tmp_path, name, mode=mode, fault=fault, a=[1.5] * 6)
    found = [x for x in said(lambda: module(source, y="fault").task) if "capital letters or spaces alone" in x]
    assert (
        sum("'fault' has classes that differ" in x and "'No ' and 'no'; 'Yes ' and 'yes'; each" in x for x in found)
        == 1
    )
    assert sum("'mode' has classes that differ" in x and "'ON' and 'on'; each" in x for x in found) == 1


def test_spellings_are_compared_in_each_of_several_outcomes(tmp_path: Path) -> None:
    source = write(tmp_path, fault=["yes", "Yes ", "no"] * 2, leak=["oil"] * 6, a=[1.5] * 6)
    found = said(lambda: module(source, y=["fault", "leak"]).task)
    assert any(
        "'fault, leak' has classes that differ" in x and "'fault=Yes  & leak=oil' and 'fault=yes" in x for x in found
    )


def test_classes_that_differ_in_more_than_spelling_are_not_named(tmp_path: Path) -> None:
    source = write(tmp_path, mode=["1 1", "11", "on", "off", "on", "off"], y=["yes", "no"] * 3, a=[1.5] * 6)
    assert not any("capital letters" in x for x in said(lambda: module(source).task))


def test_names_of_episodes_that_differ_in_their_spelling_alone_are_said(tmp_path: Path) -> None:
    def of(*names: str) -> list[str]:
        columns = {"machine": np.repeat(names, 3), "a": np.arange(3.0 * len(names)), "y": [0.5, 1.5, 2.5] * len(names)}
        source = folder(tmp_path / str(len(list(tmp_path.iterdir()))), columns)
        return [x for x in said(lambda: module(source, val=None, test=None).task) if "an episode of its own" in x]

    (found,) = of("M1", "M1 ", "M2", "M3")
    assert "'machine' has values that differ in capital letters or spaces alone: 'M1' and 'M1 '; each is" in found
    assert "table['machine'].str.strip().str.casefold()" in found
    assert of("m1", "M1", "M2", "M3")
    assert not of("M1", "M2", "M3", "M4")
    assert not of(*(f"X{number}" for number in range(300)), "aB3", "Ab3")  # random names, which may be alike by chance
    assert of(*(f"X{number}" for number in range(300)), "aB3", "aB3 ")
