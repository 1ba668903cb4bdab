"""Files, arrays and columns that are not there are answered with those that are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.exceptions import MemUPError
from tests.datamodules.own_files import LENGTHS, STEPWISE, X, module, write_npz, write_parquet

parquet = pytest.importorskip("pyarrow.parquet")


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=r"own\.npz has no 'z'; it holds 'x', 'y', 'lengths'"):
        _ = module(write_npz(tmp_path), x=["z"]).task
    with pytest.raises(MemUPError, match=r"own\.parquet has no 'label'; it holds 'episode', 'a', 'b', 'y'"):
        _ = module(write_parquet(tmp_path), x=["a"], y="label").task
    with pytest.raises(
        MemUPError, match=r"no 'machine'; it holds .*, 'y'; --data.episode names the column that says .* belongs to$"
    ):
        _ = module(write_parquet(tmp_path), episode="machine").task
    with pytest.raises(MemUPError, match=r"has no 'epsode'; did you mean 'episode'\? It holds .*, 'y'; --data"):
        _ = module(write_parquet(tmp_path), episode="epsode").task
    nothing = write_parquet(tmp_path, fault=STEPWISE)
    parquet.write_table(parquet.read_table(nothing).drop_columns("y"), nothing)
    with pytest.raises(
        MemUPError, match=r"has no 'y'; it holds .*, 'fault'; --data.y names the column of the outcome$"
    ):
        _ = module(nothing).task
    with pytest.raises(MemUPError, match=r"has no 'length'; did you mean 'lengths'\? It holds 'x', 'y', 'lengths'"):
        _ = module(write_npz(tmp_path), x=["length"]).task


@pytest.mark.parametrize(
    ("given", "arrays", "said"),
    [
        (
            {},
            {"obs": X, "label": STEPWISE},
            r"no 'x'; it holds 'obs', 'label', .*; --data.x names the arrays that the memory reads, --data.y names the "
            r"outcome \(such as --data.x '\[obs\]' --data.y label\)$",
        ),
        ({"y": "label"}, {"obs": X, "label": STEPWISE}, r"reads \(such as --data.x '\[obs\]'\)$"),
        ({}, {"obs": X, "y": STEPWISE}, r"reads \(such as --data.x '\[obs\]'\)$"),
        ({}, {"x": X, "label": STEPWISE}, r"no 'y'; .*; --data.y names the outcome \(such as --data.y label\)$"),
        ({"x": ["z"]}, {"obs": X, "y": STEPWISE}, r"no 'z'; it holds 'obs', 'y', 'lengths'$"),
        ({}, {"y": STEPWISE}, r"no 'x'; it holds 'y', 'lengths'$"),
    ],
)
def test_the_options_that_name_the_arrays_of_an_npz_file_are_said(
    given: dict[str, Any], arrays: dict[str, Any], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", **arrays, lengths=LENGTHS)
    with pytest.raises(MemUPError, match=said):
        _ = module(str(tmp_path / "own.npz"), **given).task


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.npz", None, "no such file"),
        ("own.txt", b"x,y", "files of type .txt cannot be read; give one of .npz, .parquet"),
        ("own.csv", b"", "own.csv cannot be read"),
        ("cut.npz", b"PK\x03\x04", "cut.npz cannot be read .*: it is cut short or damaged; write it again"),
        ("table.npz", b"x,y\n1,2\n", "table.npz is no npz file but another kind of file; write it by np.savez"),
        ("array.npz", b"\x93NUMPY\x01\x00", "array.npz is no npz file but a .npy file, which holds one array"),
        ("cut.parquet", b"PAR1", "cut.parquet cannot be read"),
        ("cut.arrow", b"ARROW1", "cut.arrow cannot be read"),
    ],
)
def test_what_is_no_file_of_episodes_is_refused(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MemUPError, match=said):
        _ = module(str(tmp_path / name)).task


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_parquet(tmp_path)
    for name in [x for x in sys.modules if x.startswith("memup_lightning.data.array_files.tables.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MemUPError, match=r"memup-lightning\[arrow\]"):
        _ = module(source).task
