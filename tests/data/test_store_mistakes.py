"""What cannot be written to a store is refused, and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.episodes import FieldSpec
from memup_lightning.data.store import EpisodeStore
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays
from tests.data.stores import FIELDS, cut, draw_arrays, write


def change(name: str, value: Any) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, name: value}


def drop(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {other: array for other, array in arrays.items() if other != name}


NOT_A_NUMBER = np.array([0, np.nan, 0], np.float32)
BAD_PIECES = [
    (drop("x"), r"missing fields \['x'\], unknown fields \[\]; give each field of the store: \['x', 'action'"),
    (change("y", np.zeros(3)), r"unknown fields \['y'\]"),
    (change("x", np.zeros((3, 2))), r"field 'x': got float64\[3, 2\], the store takes float32\['steps', 2\]; convert"),
    (change("x", np.zeros((3, 1), np.float32)), r"got float32\[3, 1\]"),
    (change("outcome", np.float32(1)), r"field 'outcome': got float32\[\]"),
    (change("outcome", np.zeros(2, np.float32)), r"differ in their number of steps: .*'outcome': 2"),
    (change("outcome", NOT_A_NUMBER), r"field 'outcome' of episode 1 at step 4 is nan; give finite"),
    (change("action", np.full(3, 5, np.int16)), r"field 'action' of episode 1 at step 3 is 5; its classes are 0 to 4"),
    (
        change("x", np.full((3, 2), 1e30, np.float32)),
        r"field 'x'\[0\] of episode 1 at step 3 is 1e\+30; give finite numbers",
    ),
    (change("outcome", np.full(3, -np.inf, np.float32)), r"field 'outcome' of episode 1 at step 3 is -inf"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_PIECES)
def test_a_bad_piece_is_refused_and_nothing_written(
    tmp_path: Path, spoil: Callable[[Arrays], Arrays], message: str
) -> None:
    write(tmp_path, [4])
    arrays = draw_arrays(6)
    arrays["has_outcome"][:] = True
    good, piece = cut(arrays, 0, 3), cut(arrays, 3, 6)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.bin")}
    with EpisodeStore.writer(tmp_path, FIELDS) as writer:
        with pytest.raises(MemUPError, match=message), writer.episode() as episode:  # noqa: PT012
            episode.append(good)
            episode.append(spoil(piece))
        assert {file: file.read_bytes() for file in before} == before
        with writer.episode() as episode:  # or go on
            episode.append(good)
            with pytest.raises(MemUPError, match=message):
                episode.append(spoil(piece))
            episode.append(piece)
    assert EpisodeStore(tmp_path).lengths.tolist() == [4, 6]
    np.testing.assert_array_equal(EpisodeStore(tmp_path).read(1, 0, 6)["x"], arrays["x"])
    EpisodeStore(tmp_path).verify()


def test_an_outcome_that_does_not_exist_may_be_nan(tmp_path: Path) -> None:
    piece = {**draw_arrays(3), "outcome": NOT_A_NUMBER, "has_outcome": np.array([True, False, True])}
    with EpisodeStore.writer(tmp_path, FIELDS) as writer:
        writer.add(piece)
    assert np.isnan(EpisodeStore(tmp_path).read(0, 1, 2)["outcome"])


def test_misuse_of_a_writer_is_refused(tmp_path: Path) -> None:
    writer = EpisodeStore.writer(tmp_path, FIELDS)
    with pytest.raises(MemUPError, match=r"episode 0 .* has no steps; append at least one"), writer.episode():
        pass
    with writer.episode() as episode:
        episode.append(draw_arrays(2))
        with pytest.raises(MemUPError, match=r"episode 0 .* is not finished; a store takes one at a time"):
            writer.add(draw_arrays(2))
        with pytest.raises(MemUPError, match=r"episode 0 .* is not finished; close the writer after"):
            writer.close()
    with pytest.raises(MemUPError, match=r"this episode of .* is over"):
        episode.append(draw_arrays(2))
    writer.close()
    writer.close()
    with pytest.raises(MemUPError, match="is closed; open another one"):
        writer.add(draw_arrays(2))
    assert EpisodeStore(tmp_path).lengths.tolist() == [2]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "at least one field"),
        ({"x": FieldSpec((), "object")}, "field 'x' has dtype 'object'; a store takes"),
        ({"x": FieldSpec((), "nonsense")}, "field 'x' has dtype 'nonsense'"),
        ({"x": FieldSpec((2, 0))}, r"field 'x' has shape \(2, 0\)"),
        ({"has_outcome": FieldSpec((), "uint8")}, r"field 'has_outcome' is uint8\[\] a step; it must be one bool"),
        ({"x" * 256: FieldSpec()}, "too long for a file name"),
    ],
)
def test_fields_that_cannot_be_stored_are_refused(tmp_path: Path, fields: dict[str, FieldSpec], message: str) -> None:
    with pytest.raises(MemUPError, match=message):
        EpisodeStore.writer(tmp_path / "store", fields)
    assert not (tmp_path / "store").exists()


def test_appending_other_fields_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [4])
    with pytest.raises(MemUPError, match=r"was made with 'x' as FieldSpec\(shape=\(2,\).* not FieldSpec\(shape=\(3,\)"):
        EpisodeStore.writer(tmp_path, {**FIELDS, "x": FieldSpec((3,))})
    with pytest.raises(MemUPError, match=r"was made with 'y' as no field, not FieldSpec\("):
        EpisodeStore.writer(tmp_path, {**FIELDS, "y": FieldSpec()})


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(MemUPError, match=r"holds 'thesis.tex', but no store; give a folder of its own"):
        EpisodeStore.writer(tmp_path, FIELDS)
    with pytest.raises(MemUPError, match="is a file; give the folder"):
        EpisodeStore.writer(tmp_path / "thesis.tex", FIELDS)
    assert os.listdir(tmp_path) == ["thesis.tex"]
