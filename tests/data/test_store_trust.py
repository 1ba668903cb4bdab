"""What a store does not trust: bytes that changed, files that were forged, a system without POSIX calls."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.cache import cached
from memup_lightning.data.episodes import FieldSpec
from memup_lightning.data.store import EpisodeStore, files, verification
from memup_lightning.exceptions import MemUPError
from memup_lightning.rng import hash64

ROOT = Path(__file__).parents[2]
FIELDS = {"x": FieldSpec((2,)), "do": FieldSpec((), "int16", "token", 5), "outcome": FieldSpec()}


def write(path: Path, lengths: tuple[int, ...] = (4, 2, 3)) -> EpisodeStore:
    random = np.random.default_rng(0)
    with EpisodeStore.writer(path, FIELDS, durable=False) as writer:
        for length in lengths:
            x, outcome = random.random((length, 2), np.float32), random.random(length, np.float32)
            writer.add({"x": x, "do": random.integers(0, 5, length).astype("i2"), "outcome": outcome})
    return EpisodeStore(path)


def test_any_changed_byte_of_a_field_is_refused_at_the_first_read(tmp_path: Path) -> None:
    write(tmp_path)
    for name in FIELDS:
        file = tmp_path / "fields" / f"{name}.bin"
        content = file.read_bytes()
        for place in range(len(content)):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            episode = int(np.searchsorted([4, 6, 9], place // FIELDS[name].step_bytes, side="right"))
            with pytest.raises(MemUPError, match=rf"field '{name}' of episode {episode} \(bytes .* of .*{name}.bin\)"):
                EpisodeStore(tmp_path).read(2, 0, 1)
        file.write_bytes(content)
    EpisodeStore(tmp_path).read(2, 0, 1)


def test_episodes_before_a_changed_byte_can_be_read(tmp_path: Path) -> None:
    whole = write(tmp_path)
    expected = whole.read(0, 0, 4)
    file = tmp_path / "fields" / "x.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(MemUPError, match=r"EpisodeStore\(path, first=2\) opens the episodes before it"):
        EpisodeStore(tmp_path).read(0, 0, 4)
    np.testing.assert_array_equal(EpisodeStore(tmp_path, first=2).read(0, 0, 4)["x"], expected["x"])


def test_a_large_store_is_verified_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_FIRST_BYTES", 1)
    monkeypatch.setattr(verification, "_BLOCK", 64)
    write(tmp_path, (50, 60, 70))
    file = tmp_path / "fields" / "outcome.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    store = EpisodeStore(tmp_path)
    assert store.read(0, 0, 1)["x"].shape == (1, 2)
    end = time.monotonic() + 60
    with pytest.raises(MemUPError, match="field 'outcome' of episode 2"):  # noqa: PT012
        while time.monotonic() < end:
            store.read(0, 0, 1)
    store.close()


def forge_index(record: int, column: int, value: int) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        records = np.fromfile(path / "index.bin", "<u8").reshape(3, -1)
        records[record, column] = value
        records[record, -1] = hash64(record, *records[record, :-1].tolist())
        records.tofile(path / "index.bin")

    return forge


def forge_meta(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        meta = json.loads((path / "meta.json").read_text())
        del meta["crc32"]
        change(meta)
        meta["crc32"] = zlib.crc32(json.dumps(meta).encode())
        (path / "meta.json").write_text(json.dumps(meta))

    return forge


def field(**change: Any) -> Callable[[Path], None]:
    return forge_meta(lambda meta: meta["fields"]["x"].update(change))


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (forge_index(1, 0, 1 << 63), "record 1 of 3 gives episode 1 2 steps from step 9223372036854775808 on"),
        (forge_index(1, 0, 3), "record 1 of 3 gives episode 1 2 steps from step 3 on, which does not follow"),
        (forge_index(0, 1, 0), "record 0 of 3 gives episode 0 0 steps"),
        (forge_index(2, 1, (1 << 64) - 1), "record 2 of 3 gives episode 2 18446744073709551615 steps"),
        (forge_index(2, 1, 1 << 30), "x.bin has 72 bytes, but 3 episodes need 8589934640: it is truncated"),
        (field(shape=[0]), r"meta.json describes no fields of a store \(shape \(0,\), classes 0\); restore"),
        (field(shape=[-2]), "meta.json describes no fields of a store"),
        (field(shape=[1 << 62]), "meta.json describes no fields of a store"),
        (field(shape=[2.0]), "meta.json describes no fields of a store"),
        (field(shape=3), "meta.json describes no fields of a store"),
        (field(dtype="O"), "meta.json describes no fields of a store .*has dtype 'O'"),
        (field(classes="5"), "meta.json describes no fields of a store"),
        (field(strange=1), "meta.json describes no fields of a store"),
        (forge_meta(lambda meta: meta.update(fields=[])), "meta.json describes no fields of a store"),
        (forge_meta(lambda meta: meta.update(fields={})), "meta.json describes no fields of a store"),
        (forge_meta(lambda meta: meta.pop("byteorder")), "meta.json describes no fields of a store"),
    ],
)
def test_forged_files_with_right_checksums_are_refused(
    forge: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    write(tmp_path)
    forge(tmp_path)
    with pytest.raises(MemUPError, match=said):
        EpisodeStore(tmp_path).read(0, 0, 1)


def full_after(calls: int) -> Callable[..., int]:
    left = iter(range(calls))

    def write(file: int, content: memoryview, position: int) -> int:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.pwrite(file, content, position)

    return write


@pytest.mark.parametrize("calls", range(8))
def test_a_full_disk_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    x, do, outcome = np.zeros((4, 2), np.float32), np.zeros(4, np.int16), np.zeros(4, np.float32)
    episodes = [{"x": x, "do": do, "outcome": outcome}] * 2
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_at", full_after(calls))
        with pytest.raises(MemUPError, match=rf"{tmp_path}.* cannot be written: No space left on device; free some"):
            cached(tmp_path, "things", {}, FIELDS, lambda: episodes)
    assert list(tmp_path.iterdir()) == []
    assert len(cached(tmp_path, "things", {}, FIELDS, lambda: episodes)) == 2


def test_the_command_line_and_a_store_work_without_posix_calls(tmp_path: Path) -> None:
    code = f"""
import os, sys
import psutil  # on this system it needs the module resource itself
sys.modules["fcntl"] = sys.modules["resource"] = None
for name in ("pread", "preadv", "pwrite", "pwritev"):
    delattr(os, name)
import numpy as np
import memup_lightning.cli.main
from memup_lightning.data.cache import cached
from memup_lightning.data.episodes import FieldSpec
episode = {{"x": np.arange(6, dtype=np.float32).reshape(3, 2)}}
store = cached({str(tmp_path)!r}, "things", {{"a": 1}}, {{"x": FieldSpec((2,))}}, lambda: [episode, episode])
assert store.read(1, 1, 3)["x"].tolist() == [[2, 3], [4, 5]]
store.verify()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
