"""Files of tables that cannot be read as they are: separators, encodings, names, no rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from memup_lightning.data.array_files import Columns, read_episodes
from memup_lightning.exceptions import MemUPError

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import feather, parquet  # noqa: E402 (only where it is installed)

COLUMNS = Columns(None, "y", "episode", "vector", None)


@pytest.mark.parametrize("row", ["1;0,5;1", "1;5;1"])
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_csv_file_of_another_separator_is_refused_with_the_way_to_convert_it(
    separator: str, row: str, tmp_path: Path
) -> None:
    file = tmp_path / "own.csv"
    file.write_text(f"episode;x;y\n{row}\n{row}\n".replace(";", separator))
    with pytest.raises(MemUPError, match=r"separates its columns by .*decimal=','"):
        read_episodes(str(file), COLUMNS)


@pytest.mark.parametrize("header", ["episode,größe,y", "episode,x,y"])
def test_a_csv_file_that_is_not_utf_8_is_refused(header: str, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_bytes(f"{header}\n1,ö,1\n".encode("latin-1"))
    with pytest.raises(MemUPError, match=r"own.csv: .* is not written in UTF-8; .*encoding='latin-1'"):
        read_episodes(str(file), COLUMNS)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("utf-16-be with mark", "utf-16"),
    ],
)
def test_the_encoding_of_two_bytes_a_character_is_named(encoding: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    mark = "\ufeff" * encoding.endswith("mark")
    file.write_bytes(f"{mark}episode,x,y\n1,0.5,1\n1,0.5,0\n".encode(encoding.split()[0]))
    with pytest.raises(MemUPError, match=rf"own.csv: the file is not written in UTF-8; .*\(path, encoding='{said}'\)"):
        read_episodes(str(file), COLUMNS)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_of_another_encoding_and_separator_is_converted_from_both(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    for separator, said in ((";", r"sep=';', decimal=','\)"), ("\t", r"sep='\\t'\)")):
        file.write_bytes("episode;größe;y\n1;0,5;1\n".replace(";", separator).encode(encoding))
        with pytest.raises(MemUPError, match=rf"encoding='{encoding}', {said}"):
            read_episodes(str(file), COLUMNS)


def test_the_mark_at_the_begin_of_a_file_of_excel_is_no_part_of_a_name(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("episode,x,y\n1,0.5,1\n1,0.5,0\n", encoding="utf-8-sig")
    assert read_episodes(str(file), COLUMNS).columns == ("x",)


@pytest.mark.parametrize("name", ["own.parquet", "own.arrow", "own.csv"])
def test_columns_of_one_name_are_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    table = pyarrow.table([[1, 1], [0.5, 0.5], [0.25, 0.25], [0, 1]], names=["episode", "x", "x", "y"])
    if name.endswith("csv"):
        file.write_text("episode,x,x,y\n1,0.5,0.25,0\n")
    else:
        (parquet.write_table if name.endswith("parquet") else feather.write_feather)(table, str(file))
    with pytest.raises(MemUPError, match=f"{name} has 2 columns named 'x'; rename them"):
        read_episodes(str(file), COLUMNS)


def test_a_file_of_a_header_alone_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("episode,x,y\n")
    with pytest.raises(MemUPError, match=r"own\.csv has columns but no row"):
        read_episodes(str(file), COLUMNS)
