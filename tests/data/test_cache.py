"""Collected episodes on disk: found by what they follow from, never half of them, never those of other parameters."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from memup_lightning.data.cache import cached
from memup_lightning.data.episodes import FieldSpec
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays
from tests.data.cached import assert_same, finished

FIELDS = {"x": FieldSpec((2,)), "outcome": FieldSpec()}


def some_episodes(seed: int = 0) -> Iterator[Arrays]:
    random = np.random.default_rng(seed)
    for length in (3, 1, 4):
        yield {"x": random.standard_normal((length, 2), np.float32), "outcome": random.random(length, np.float32)}


def no_episodes() -> Iterator[Arrays]:
    raise AssertionError("the episodes were made again")


def test_episodes_are_made_once(tmp_path: Path) -> None:
    made = cached(tmp_path, "things", {"a": 1}, FIELDS, some_episodes)
    assert made.lengths.tolist() == [3, 1, 4]
    found = cached(tmp_path, "things", {"a": 1}, FIELDS, no_episodes)
    assert_same(made, found)
    found.verify()


def test_another_parameter_is_another_folder(tmp_path: Path) -> None:
    one = cached(tmp_path, "things", {"a": 1}, FIELDS, some_episodes)
    for other in ({"a": 2}, {"a": 1.5}, {"a": "1"}, {"a": [1]}, {"b": 1}, {"a": 1, "b": None}):
        made = cached(tmp_path, "things", other, FIELDS, lambda: some_episodes(1))
        assert not np.array_equal(one.read(0, 0, 3)["x"], made.read(0, 0, 3)["x"])
    assert len(finished(tmp_path)) == 7


def test_the_parameters_are_next_to_the_episodes_in_plain_text(tmp_path: Path) -> None:
    store = cached(tmp_path, "My/Env-v0 train", {"discount": 0.5}, FIELDS, some_episodes)
    folder = store.path.parent
    assert folder.name.startswith("My-Env-v0-train-")
    assert json.loads((folder / "parameters.json").read_text())["discount"] == 0.5
    assert json.loads((folder / "finished.json").read_text()) == {"episodes": 3, "steps": 8}


def test_episodes_that_could_not_all_be_made_are_not_there(tmp_path: Path) -> None:
    def broken() -> Iterator[Arrays]:
        yield from some_episodes()
        raise RuntimeError("the environment died")

    with pytest.raises(RuntimeError, match="the environment died"):
        cached(tmp_path, "things", {}, FIELDS, broken)
    assert finished(tmp_path) == []
    assert len(cached(tmp_path, "things", {}, FIELDS, some_episodes)) == 3


@pytest.mark.parametrize("killed_after", [0, 1, 2, 3])
def test_a_killed_process_leaves_nothing_that_is_taken_for_complete(tmp_path: Path, killed_after: int) -> None:
    child = os.fork()
    if child == 0:  # the same three episodes, killed before one of them or before the marker

        def dying() -> Iterator[Arrays]:
            for number, episode in enumerate(some_episodes()):
                if number == killed_after:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield episode
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            cached(tmp_path, "things", {"a": 1}, FIELDS, dying)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert finished(tmp_path) == []
    made = cached(tmp_path, "things", {"a": 1}, FIELDS, some_episodes)
    assert made.lengths.tolist() == [3, 1, 4]
    assert_same(made, cached(tmp_path, "things", {"a": 1}, FIELDS, no_episodes))


def test_a_second_process_waits_and_takes_what_the_first_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    child = os.fork()
    if child == 0:

        def slow() -> Iterator[Arrays]:
            (tmp_path / "begun").touch()
            time.sleep(0.5)
            yield from some_episodes()

        try:
            cached(tmp_path / "cache", "things", {}, FIELDS, slow)
            os._exit(0)
        finally:
            os._exit(1)
    end = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < end, "the other process did not begin"
        time.sleep(0.01)
    assert len(cached(tmp_path / "cache", "things", {}, FIELDS, no_episodes)) == 3
    assert os.waitpid(child, 0)[1] == 0
    (folder,) = finished(tmp_path / "cache")
    assert caplog.messages == [f"waiting for another process, which makes the episodes in {folder}"]


def cut_field(folder: Path) -> None:
    os.truncate(folder / "episodes" / "fields" / "x.bin", 9)


def lose_an_episode(folder: Path) -> None:
    os.truncate(folder / "episodes" / "index.bin", 2 * 8 * (3 + len(FIELDS)))


def lose_the_store(folder: Path) -> None:
    shutil.rmtree(folder / "episodes")


def spoil_marker(folder: Path) -> None:
    (folder / "finished.json").write_text("{")


def edit_parameters(folder: Path) -> None:
    (folder / "parameters.json").write_text("{}")


@pytest.mark.parametrize("damage", [cut_field, lose_an_episode, lose_the_store, spoil_marker, edit_parameters])
def test_a_damaged_cache_is_refused_with_its_folder_and_the_remedy(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = cached(tmp_path, "things", {}, FIELDS, some_episodes).path.parent
    damage(folder)
    with pytest.raises(MemUPError, match=rf"{folder} are damaged \(.*\); remove that folder, and they are made again"):
        cached(tmp_path, "things", {}, FIELDS, no_episodes)
    shutil.rmtree(folder)
    assert len(cached(tmp_path, "things", {}, FIELDS, some_episodes)) == 3


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MemUPError, match=r"cache_dir='.*file' cannot be written: .*; give another folder"):
        cached(tmp_path / "file", "things", {}, FIELDS, no_episodes)
