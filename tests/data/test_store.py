"""The EpisodeStore on disk: what is written is read, and what is killed is not there."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memup_lightning.data.episodes import ArrayEpisodes, FieldSpec
from memup_lightning.data.store import EpisodeStore, reader
from memup_lightning.data.store.files import read_at
from memup_lightning.exceptions import MemUPError
from tests.data.stores import FIELDS, ROOT, assert_holds, cut, draw_arrays, fields_of_any_kind, relaxed, write


@relaxed
@given(fields_of_any_kind, st.lists(st.lists(st.integers(0, 40), min_size=1).filter(any), max_size=5), st.data())
def test_episodes_written_in_pieces_are_read_back(
    fields: dict[str, FieldSpec], episodes: list[list[int]], data: st.DataObject
) -> None:
    random = np.random.default_rng(0)
    written = []
    with tempfile.TemporaryDirectory() as folder:
        reopen = data.draw(st.booleans())
        writer = EpisodeStore.writer(folder, fields, durable=False)
        for pieces in episodes:
            arrays = {
                name: np.frombuffer(random.bytes(field.step_bytes * sum(pieces)), "u1")
                .__and__(1 if field.dtype == "bool" else 0x3F)
                .astype("u1")
                .view(field.dtype)
                .reshape(-1, *field.shape)
                for name, field in fields.items()
            }
            written.append(arrays)
            with writer.episode() as episode:
                for begin, count in zip(np.cumsum([0, *pieces]), pieces, strict=False):
                    episode.append(cut(arrays, begin, begin + count))
            if reopen:
                writer.close()
                writer = EpisodeStore.writer(folder, fields, durable=False)
        writer.close()
        with_store = EpisodeStore(folder)
        assert dict(with_store.fields) == fields
        assert with_store.lengths.tolist() == [sum(pieces) for pieces in episodes]
        for episode_number, arrays in enumerate(written):
            length = int(with_store.lengths[episode_number])
            begin = data.draw(st.integers(0, length))
            end = data.draw(st.integers(begin, length))
            found = with_store.read(episode_number, begin, end)
            for name in fields:
                np.testing.assert_array_equal(found[name], arrays[name][begin:end])
        with_store.verify()


@relaxed
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 200), st.data())
def test_gather_equals_that_of_arrays(lengths: list[int], gap: int, data: st.DataObject) -> None:
    """Any sequence of gathers: of several shapes in turn, going on, jumping and leaving the episode at both ends."""
    lanes = st.integers(1, 4)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_MAX_GAP", gap)
        arrays = write(Path(folder), lengths)
        expected, found = ArrayEpisodes(arrays, lengths, FIELDS), EpisodeStore(folder)
        for _ in range(data.draw(st.integers(1, 4))):
            rows, steps = data.draw(lanes), data.draw(st.integers(0, 12))
            names = data.draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True))
            episodes = np.array([data.draw(st.integers(0, len(lengths) - 1)) for _ in range(rows)])
            starts = np.array([data.draw(st.integers(-15, 70)) for _ in range(rows)])
            for _ in range(data.draw(st.integers(1, 8))):  # goes on as a lane does
                one, other = (source.gather(episodes, starts, steps, names) for source in (expected, found))
                assert one.keys() == other.keys()
                for name in names:
                    np.testing.assert_array_equal(one[name], other[name])
                    assert one[name].dtype == other[name].dtype
                starts = starts + data.draw(st.integers(1, steps + 1))


def test_adjacent_rows_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [10_000] * 4)
    store, reads = EpisodeStore(tmp_path), []
    store.read(0, 0, 1)  # verifies
    monkeypatch.setattr(reader, "read_at", lambda *arguments: reads.append(1) or read_at(*arguments))
    lane, chunk = np.tile(np.arange(4), 50), np.repeat(np.arange(50), 4)
    store.gather(lane, 10 * chunk - 1, 11, ["x", "outcome"])
    assert len(reads) == 8, "50 chunks of 4 lanes, 2 fields"


def test_a_torn_last_episode_is_not_there_whatever_the_byte(tmp_path: Path) -> None:
    before, after, path = tmp_path / "before", tmp_path / "after", tmp_path / "torn"
    arrays = write(after, [4, 2, 3])
    write(before, [4, 2], arrays)
    files = [*(Path("fields") / f"{name}.bin" for name in FIELDS), Path("index.bin")]
    shutil.copytree(before, path)
    states = 0
    for number, torn in enumerate(files):  # fields in the order in which they are written, the index last
        for earlier in files[:number]:
            (path / earlier).write_bytes((after / earlier).read_bytes())
        old, new = (before / torn).read_bytes(), (after / torn).read_bytes()
        for zeros in (False, True):  # a power loss may leave zeros for the sectors that were not written
            for size in range(len(old), len(new), 8 if zeros else 1):
                (path / torn).write_bytes(new[:size] + bytes(len(new) - size if zeros else 0))
                assert_holds(EpisodeStore(path), arrays, [4, 2])
                states += 1
                copy = tmp_path / "copy"
                shutil.copytree(path, copy)
                with EpisodeStore.writer(copy, FIELDS, durable=False) as writer:
                    assert len(writer) == 2
                    writer.add(cut(arrays, 6, 9))
                assert_holds(EpisodeStore(copy), arrays, [4, 2, 3])
                for file in files:
                    assert (copy / file).read_bytes() == (after / file).read_bytes()
                shutil.rmtree(copy)
    assert states == (24 + 6 + 12 + 3 + 56) + (3 + 1 + 2 + 1 + 7)


def test_a_killed_writer_leaves_every_finished_episode() -> None:
    command = [sys.executable, "-m", "tests.torture_store", "--kills", "12", "--seed", str(os.getpid())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_an_exception_discards_the_episode(tmp_path: Path) -> None:
    arrays = write(tmp_path, [4])
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.bin")}
    with EpisodeStore.writer(tmp_path, FIELDS) as writer:
        with pytest.raises(KeyboardInterrupt), writer.episode() as episode:  # noqa: PT012
            episode.append(arrays)
            raise KeyboardInterrupt
        assert {file: file.read_bytes() for file in before} == before
        assert len(EpisodeStore(tmp_path)) == len(writer) == 1
        writer.add(arrays)
    assert len(EpisodeStore(tmp_path)) == 2


def test_an_episode_that_the_disk_refuses_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = write(tmp_path, [4])
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.bin")}
    with EpisodeStore.writer(tmp_path, FIELDS) as writer:
        for works in range(len(FIELDS) + 1):  # of the flushes that finish an episode; the last is that of its record
            flushes = iter([True] * works)

            def flush(file: int, flushes: Any = flushes) -> None:
                if not next(flushes, False):
                    raise OSError("the disk is gone")

            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", flush)
                with pytest.raises(MemUPError, match=r"cannot be written: the disk is gone; free"):
                    writer.add(arrays)
            assert {file: file.read_bytes() for file in before} == before
            assert len(writer) == 1


def test_a_store_reads_while_a_writer_appends(tmp_path: Path) -> None:
    arrays = draw_arrays(8)
    with EpisodeStore.writer(tmp_path, FIELDS) as writer:
        assert len(EpisodeStore(tmp_path)) == 0
        writer.add(cut(arrays, 0, 5))
        with writer.episode() as episode:
            episode.append(cut(arrays, 5, 8))
            store = EpisodeStore(tmp_path)
            assert_holds(store, arrays, [5])
        assert_holds(store, arrays, [5])
        assert_holds(EpisodeStore(tmp_path), arrays, [5, 3])


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with EpisodeStore.writer(tmp_path, FIELDS):
        with pytest.raises(MemUPError, match=r"another writer is at work on .*wait until"):
            EpisodeStore.writer(tmp_path, FIELDS)
        code = (
            "import sys; from memup_lightning.data.store import EpisodeStore; from memup_lightning.specs import FieldSpec\n"
            f"EpisodeStore.writer({str(tmp_path)!r}, {FIELDS!r})"
        )
        other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert "another writer is at work" in other.stderr
    EpisodeStore.writer(tmp_path, FIELDS).close()


def test_a_store_travels_to_spawned_and_forked_workers(tmp_path: Path) -> None:
    arrays = write(tmp_path, [30, 20])
    store = EpisodeStore(tmp_path)
    where = (np.array([0, 1]), np.array([28, 3]), 5, ["x"])
    expected = store.gather(*where)["x"]
    assert len(pickle.dumps(store)) < 2000
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            np.testing.assert_array_equal(pool.apply(store.gather, where)["x"], expected)
            np.testing.assert_array_equal(pool.apply(store.read, (1, 2, 9))["x"], arrays["x"][32:39])


def test_no_file_stays_open(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    write(tmp_path, [30])
    before = open_files()
    store = EpisodeStore(tmp_path)
    assert open_files() == before
    for start in range(5):
        store.gather(np.array([0]), np.array([start]), 1, list(FIELDS))
    assert open_files() == before + len(FIELDS)
    del store
    assert open_files() == before
    with pytest.raises(MemUPError):
        EpisodeStore.writer(tmp_path, {"other": FieldSpec()})
    assert open_files() == before
    abandoned = EpisodeStore.writer(tmp_path, FIELDS)
    del abandoned
    assert open_files() == before
    EpisodeStore.writer(tmp_path, FIELDS).close()


def test_a_store_is_streamed_in_little_memory_and_address_space(tmp_path: Path) -> None:
    """256 MB, one chunk after the other, with 48 MB of address space more than the imports took."""
    with EpisodeStore.writer(tmp_path, {"x": FieldSpec((8,))}, durable=False) as writer, writer.episode() as episode:
        for _ in range(64):
            episode.append({"x": np.ones((1 << 17, 8), np.float32)})
    code = (
        "import resource, numpy as np\n"
        "from memup_lightning.data.store import EpisodeStore\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)\n"
        f"store, lanes = EpisodeStore({str(tmp_path)!r}), np.arange(64)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "total = 0.0\n"
        "for start in range(0, 1 << 17, 128):\n"
        "    total += store.gather(lanes * 0, lanes * (1 << 17) + start, 128, ['x'])['x'].sum(dtype='f8')\n"
        "    if start == 1280: before = peak()\n"
        "assert total == 1 << 26, total\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4096, "kilobytes by which the resident set grew"
