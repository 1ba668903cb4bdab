"""A store that was damaged or cut short is refused by the name of what is damaged; the episodes before it are read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memup_lightning.data.store import EpisodeStore
from memup_lightning.exceptions import MemUPError
from tests.data.stores import FIELDS, assert_holds, flip_a_bit, write


@pytest.mark.parametrize("name", FIELDS)
def test_verify_names_the_episode_of_a_flipped_bit(tmp_path: Path, name: str) -> None:
    write(tmp_path, [4, 2, 3])
    file = tmp_path / "fields" / f"{name}.bin"
    flip_a_bit(file, file.stat().st_size * 5 // 9)
    store = EpisodeStore(tmp_path)
    with pytest.raises(MemUPError, match=rf"1 checksums do not match: field '{name}' of episode 1 \(bytes .*copy the"):
        store.verify()
    EpisodeStore(tmp_path, first=1).verify()


def damage_index(path: Path) -> None:
    flip_a_bit(path / "index.bin", 56 + 9)


def truncate_field(path: Path) -> None:
    os.truncate(path / "fields" / "x.bin", 47)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_index, r"index.bin: record 1 of 3 is damaged \(bytes 56 to 112\); EpisodeStore\(path, first=1\)"),
        (truncate_field, r"x.bin has 47 bytes, but 3 episodes need 72: .* EpisodeStore\(path, first=1\)"),
    ],
)
def test_episodes_before_a_damage_can_be_opened(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    arrays = write(tmp_path, [4, 2, 3])
    damage(tmp_path)
    files = {file: file.read_bytes() for file in tmp_path.rglob("*.bin")}
    with pytest.raises(MemUPError, match=message):
        EpisodeStore(tmp_path)
    with pytest.raises(MemUPError, match=message):
        EpisodeStore.writer(tmp_path, FIELDS)
    assert {file: file.read_bytes() for file in files} == files, "a refused writer cuts nothing off"
    assert_holds(EpisodeStore(tmp_path, first=1), arrays, [4])
    with pytest.raises(MemUPError, match="holds 3 episodes, cannot open the first 4"):
        EpisodeStore(tmp_path, first=4)


def test_any_flipped_bit_of_the_index_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, [4, 2, 3])
    index = (tmp_path / "index.bin").read_bytes()
    for place in range(len(index)):
        flip_a_bit(tmp_path / "index.bin", place)
        with pytest.raises(MemUPError, match=f"record {place // 56} of 3 is damaged"):
            EpisodeStore(tmp_path)
        (tmp_path / "index.bin").write_bytes(index)


def test_a_damaged_meta_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [4])
    file = tmp_path / "meta.json"
    content = file.read_text()
    for damaged in ("", content[:-3], content.replace("float32", "float64"), "[]", '{"format": 1}'):
        file.write_text(damaged)
        with pytest.raises(MemUPError, match=r"meta.json is damaged .*; restore it"):
            EpisodeStore(tmp_path)
        with pytest.raises(MemUPError, match=r"meta.json is damaged .*; restore it"):
            EpisodeStore.writer(tmp_path, FIELDS)
    file.write_text(json.dumps({**json.loads(content), "format": 7}))
    with pytest.raises(MemUPError, match=r"meta.json: format 7 is unknown, .* reads format 1; update"):
        EpisodeStore(tmp_path)
    file.unlink()
    with pytest.raises(MemUPError, match=r"no episode store at .*meta.json does not exist"):
        EpisodeStore(tmp_path)
    with pytest.raises(MemUPError, match=r"meta.json is missing, though index.bin holds 56 bytes; restore it"):
        EpisodeStore.writer(tmp_path, FIELDS)


def test_a_file_truncated_under_an_open_store_is_named(tmp_path: Path) -> None:
    write(tmp_path, [4, 2, 3])
    store = EpisodeStore(tmp_path)
    store.read(0, 0, 1)  # verifies
    truncate_field(tmp_path)
    with pytest.raises(MemUPError, match=r"x.bin ends at byte 47, .* byte 48.*truncated since; open the store again"):
        store.read(1, 0, 2)
