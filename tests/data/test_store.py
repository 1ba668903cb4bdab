"""The EpisodeStore on disk: what is written is read, what is killed is not there, what is damaged is named."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memup_lightning.data.episodes import ArrayEpisodes, FieldSpec
from memup_lightning.data.store import EpisodeStore, reader
from memup_lightning.data.store.files import read_at
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays

ROOT = Path(__file__).parents[2]
FIELDS = {
    "x": FieldSpec((2,)),
    "action": FieldSpec((), "int16", "token", 5),
    "outcome": FieldSpec(),
    "has_outcome": FieldSpec((), "bool"),
}
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def draw_arrays(steps: int, seed: int = 0) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        "x": random.standard_normal((steps, 2), np.float32),
        "action": random.integers(0, 5, steps).astype("int16"),
        "outcome": random.standard_normal(steps, np.float32),
        "has_outcome": random.random(steps) < 0.5,
    }


def cut(arrays: Arrays, begin: int, end: int) -> Arrays:
    return {name: array[begin:end] for name, array in arrays.items()}


def write(path: Path, lengths: list[int], arrays: Arrays | None = None) -> Arrays:
    """A store of the lengths; returns its content laid end to end."""
    arrays = arrays or draw_arrays(sum(lengths))
    with EpisodeStore.writer(path, FIELDS, durable=False) as writer:
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            writer.add(cut(arrays, end - length, end))
    return arrays


def assert_holds(store: EpisodeStore, arrays: Arrays, lengths: list[int]) -> None:
    assert store.lengths.tolist() == lengths
    for episode, end in enumerate(np.cumsum(lengths)):
        for name, array in store.read(episode, 0, lengths[episode]).items():
            np.testing.assert_array_equal(array, arrays[name][end - lengths[episode] : end])
            assert array.dtype == arrays[name].dtype
    store.verify()


def flip_a_bit(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)


dtypes = st.sampled_from(["bool", "uint8", "int16", "int64", "float16", "float32", "float64", ">f4"])
fields_of_any_kind = st.dictionaries(
    st.text(max_size=8),
    st.builds(FieldSpec, st.lists(st.integers(1, 3), max_size=3).map(tuple), dtypes),
    min_size=1,
    max_size=4,
).filter(lambda fields: not {"outcome", "has_outcome", "eval_mask"} & fields.keys())


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
