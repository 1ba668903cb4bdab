"""Damaged and forged files of users: refused in one sentence, never read wrongly."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from memup_lightning.data.array_files import Columns, UserEpisodes, read_episodes
from memup_lightning.exceptions import MemUPError

COLUMNS = Columns(("x",), "y", "episode", "vector", None)
STEPS = np.arange(14)


def same(one: UserEpisodes, other: UserEpisodes) -> bool:
    pairs = [(one.x, other.x), (one.y, other.y), (one.lengths, other.lengths)]
    pairs += [(flag, other.flags.get(name)) for name, flag in one.flags.items()]
    return one.flags.keys() == other.flags.keys() and all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_npz_file_is_refused_or_read_as_it_was(save: Callable[..., None], tmp_path: Path) -> None:
    file, random = tmp_path / "own.npz", np.random.default_rng(0)
    flags = {"has_outcome": STEPS % 2 == 0, "eval_mask": STEPS % 4 == 0}
    save(file, x=STEPS.repeat(2).reshape(14, 2), y=STEPS / 4, lengths=[3, 5, 2, 4], **flags)
    content, whole = file.read_bytes(), read_episodes(str(file), COLUMNS)
    refused = 0
    for number in range(200):
        damaged = bytearray(content)
        damaged[random.integers(len(content))] = random.integers(256)
        file.write_bytes(damaged[: random.integers(len(content))] if number % 10 == 0 else damaged)
        try:
            assert same(read_episodes(str(file), COLUMNS), whole)
        except MemUPError as error:
            assert str(error).count("own.npz") == 1  # noqa: PT017
            refused += 1
    assert refused > 100


def test_an_array_that_the_end_of_a_damaged_file_hides_is_missed(tmp_path: Path) -> None:
    file = tmp_path / "own.npz"
    np.savez(file, x=np.zeros((14, 2)), y=STEPS / 4, lengths=[14], eval_mask=STEPS == 13)
    content = bytearray(file.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02"))
    content[entry + 33] = 200  # the comment of the third array now covers the fourth
    file.write_bytes(content)
    with pytest.raises(MemUPError, match="says that it holds 4 arrays, but 3 are there: the file is damaged"):
        read_episodes(str(file), COLUMNS)


def forged_npz(path: Path, header: dict[str, Any], content: bytes) -> str:
    with zipfile.ZipFile(path / "own.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        member = io.BytesIO()
        np.lib.format.write_array_header_1_0(member, header)
        archive.writestr("x.npy", member.getvalue() + content)
        member = io.BytesIO()
        np.lib.format.write_array(member, np.zeros(1))
        archive.writestr("y.npy", member.getvalue())
    return str(path / "own.npz")


@pytest.mark.parametrize("shape", [(1 << 40, 3), (-1, 3), (3, 5), (1 << 62, 1 << 62), (0, 1 << 62)])
def test_a_forged_shape_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    source = forged_npz(tmp_path, {"descr": "<f4", "fortran_order": False, "shape": shape}, bytes(1000))
    with pytest.raises(MemUPError, match=r"own.npz"):
        read_episodes(source, COLUMNS)


def test_a_file_that_unpacks_to_more_than_the_memory_is_refused_by_its_declared_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "own.npz", x=np.zeros((100, 1000, 10), np.float32), y=np.zeros(100))
    assert (tmp_path / "own.npz").stat().st_size < 10_000
    free = psutil.virtual_memory()._replace(available=3_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(
        MemUPError, match=r"its arrays take 0.004 GB unpacked, but 0.003 GB of memory are free; give fewer"
    ):
        read_episodes(str(tmp_path / "own.npz"), COLUMNS)


def test_a_cut_table_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    table = pyarrow.table({"episode": STEPS // 7, "x": STEPS / 4, "y": STEPS / 4})
    parquet.write_table(table, tmp_path / "own.parquet")
    feather.write_feather(table, str(tmp_path / "own.feather"))
    for file in (tmp_path / "own.parquet", tmp_path / "own.feather"):
        content = file.read_bytes()
        assert len(read_episodes(str(file), COLUMNS).x) == 14
        for size in range(0, len(content), 97):
            file.write_bytes(content[:size])
            with pytest.raises(MemUPError, match=rf"{file.name} cannot be read"):
                read_episodes(str(file), COLUMNS)


def test_files_of_one_table_have_the_same_columns(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"episode": STEPS // 7, "x": STEPS / 4, "y": STEPS / 4})
    parquet.write_table(table, tmp_path / "a.parquet")
    later = table.set_column(0, "episode", [STEPS // 7 + 2])
    parquet.write_table(later.drop_columns("x"), tmp_path / "b.parquet")
    with pytest.raises(MemUPError, match=r"b.parquet has no column 'x', which .*a.parquet has"):
        read_episodes(str(tmp_path), COLUMNS)


def test_padded_episodes_are_refused_with_the_way_to_take_their_steps(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((3, 5, 2)), y=np.zeros((3, 5)), lengths=[5, 2, 4])
    with pytest.raises(
        MemUPError, match=r"have 11 together; take the steps out .* x\[np.arange\(5\) < lengths\[:, None\]\]"
    ):
        read_episodes(str(tmp_path / "own.npz"), COLUMNS)


def test_the_ending_of_a_file_may_have_capitals(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.zeros((3, 5, 2)), y=np.zeros((3, 5)))
    (tmp_path / "own.npz").rename(tmp_path / "OWN.NPZ")
    assert read_episodes(str(tmp_path / "OWN.NPZ"), COLUMNS).lengths.tolist() == [5, 5, 5]


def test_tensors_with_gradients_are_read_from_a_function() -> None:
    x = torch.ones(3, 2, requires_grad=True)
    user = read_episodes(lambda: [(x, x[:, 0])], COLUMNS)
    assert user.x is not None
    assert user.x.tolist() == [[1, 1]] * 3


def test_a_function_that_raises_is_named_with_its_place() -> None:
    def episodes() -> Any:
        yield np.zeros((3, 2)), np.zeros(3)
        raise KeyError("recording 7")

    with pytest.raises(MemUPError, match=r"failed: KeyError: 'recording 7' \(test_array_files.py, line \d+\)"):
        read_episodes(episodes, COLUMNS)
