"""Files, arrays and columns that are not there are answered with those that are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.cli.main import main
from memup_lightning.exceptions import MemUPError
from tests.datamodules.own_files import LENGTHS, STEPWISE, X, module, write_npz, write_parquet

parquet = pytest.importorskip("pyarrow.parquet")


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=r"own\.npz has no 'z'; it holds 'x', 'y', 'lengths'"):
        _ = module(write_npz(tmp_path), x=["z"]).task
    with pytest.raises(MemUPError, match=r"own\.parquet has no 'label'; it holds 'episode', 'a', 'b', 'y'"):
        _ = module(write_parquet(tmp_path), x=["a"], y="label").task
    with pytest.raises(
        MemUPError, match=r"no 'machine'; it holds .*, 'y'; episode names the column that says .* belongs to$"
    ):
        _ = module(write_parquet(tmp_path), episode="machine").task
    with pytest.raises(MemUPError, match=r"has no 'epsode'; did you mean 'episode'\? It holds .*, 'y'; episode names"):
        _ = module(write_parquet(tmp_path), episode="epsode").task
    nothing = write_parquet(tmp_path, fault=STEPWISE)
    parquet.write_table(parquet.read_table(nothing).drop_columns("y"), nothing)
    with pytest.raises(MemUPError, match=r"has no 'y'; it holds .*, 'fault'; y names the column of the outcome$"):
        _ = module(nothing).task
    with pytest.raises(MemUPError, match=r"has no 'length'; did you mean 'lengths'\? It holds 'x', 'y', 'lengths'"):
        _ = module(write_npz(tmp_path), x=["length"]).task


@pytest.mark.parametrize(
    ("given", "arrays", "said"),
    [
        (
            {},
            {"obs": X, "label": STEPWISE},
            r"no 'x'; it holds 'obs', 'label', .*; x names the arrays that the memory reads, y names the "
            r"outcome \(such as x=\['obs'\] and y='label'\)$",
        ),
        ({"y": "label"}, {"obs": X, "label": STEPWISE}, r"reads \(such as x=\['obs'\]\)$"),
        ({}, {"obs": X, "y": STEPWISE}, r"reads \(such as x=\['obs'\]\)$"),
        ({}, {"x": X, "label": STEPWISE}, r"no 'y'; .*; y names the outcome \(such as y='label'\)$"),
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


def test_settings_are_written_as_on_the_command_line_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(source: str, *given: str) -> str:
        with pytest.raises(SystemExit):
            main(["fit", "--model=MemUP", "--data=ArrayDataModule", f"--data.train={source}", *given])
        return " ".join(capsys.readouterr().err.split())

    assert "; --data.episode names the column" in said(write_parquet(tmp_path), "--data.episode=machine")
    assert "train with --data.missing=mask" in said(write_parquet(tmp_path, a=[None, *[1.0] * 13]))
    np.savez(tmp_path / "own.npz", obs=X, label=STEPWISE, lengths=LENGTHS)
    assert "(such as --data.x='[obs]' and --data.y=label)" in said(str(tmp_path / "own.npz"))


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
