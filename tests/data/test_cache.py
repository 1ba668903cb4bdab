"""Collected episodes on disk: found by what they follow from, never half of them, never those of other parameters."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit
from torch import nn

from memup_lightning.data.cache import cached
from memup_lightning.data.episodes import EpisodeSource, FieldSpec
from memup_lightning.data.fingerprint import FingerprintError, canonical, fingerprint, fingerprints
from memup_lightning.data.store import EpisodeStore
from memup_lightning.datamodules import GymnasiumDataModule
from memup_lightning.envs.policies import random_policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors import episodes as collection
from memup_lightning.rl.collectors.episodes import collect
from memup_lightning.rl.vector_envs import make_vector_env
from memup_lightning.typing import Arrays

ROOT = Path(__file__).parents[2]
FIELDS = {"x": FieldSpec((2,)), "outcome": FieldSpec()}


def some_episodes(seed: int = 0) -> Iterator[Arrays]:
    random = np.random.default_rng(seed)
    for length in (3, 1, 4):
        yield {"x": random.standard_normal((length, 2), np.float32), "outcome": random.random(length, np.float32)}


def no_episodes() -> Iterator[Arrays]:
    raise AssertionError("the episodes were made again")


class Lean:
    """A policy with parameters: which way CartPole is pushed."""

    def __init__(self, side: int = 0) -> None:
        self.side = side
        self.calls = 0

    def __call__(self, observations: Any, action_space: Any) -> Any:
        self.calls += 1
        return np.full(len(observations), (self.side + self.calls // 2) % 2)


class Network(nn.Module):
    """A policy with weights."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layer = nn.Linear(4, 2)

    def forward(self, observations: Any, action_space: Any) -> Any:
        return self.layer(torch.as_tensor(observations)).argmax(-1).numpy()


def cartpole(cache_dir: Path | None, **given: Any) -> GymnasiumDataModule:
    given = {"num_train": 6, "num_val": 3, "num_test": 2, "num_envs": 4, "seed": 1} | given
    return GymnasiumDataModule("CartPole-v1", lanes=4, cache_dir=cache_dir and str(cache_dir), **given)


def content(source: EpisodeSource) -> list[Arrays]:
    return [source.read(e, 0, int(length)) for e, length in enumerate(source.lengths)]


def assert_same(one: EpisodeSource, other: EpisodeSource) -> None:
    assert one.fields == other.fields
    assert one.lengths.tolist() == other.lengths.tolist()
    for a, b in zip(content(one), content(other), strict=True):
        for name in one.fields:
            np.testing.assert_array_equal(a[name], b[name])


def finished(folder: Path) -> list[Path]:
    return sorted(marker.parent for marker in folder.glob("*/finished.json"))


# --- the cache


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


# --- what a parameter is


def test_equal_objects_have_one_identity_in_every_process() -> None:
    described = fingerprints({"policy": Lean(1), "network": Network(3), "wrapper": functools.partial(TimeLimit, None)})
    code = (
        "import functools; from gymnasium.wrappers import TimeLimit\n"
        "from memup_lightning.data.fingerprint import canonical, fingerprints\n"
        "from tests.data.test_cache import Lean, Network\n"
        "print(canonical(fingerprints({'wrapper': functools.partial(TimeLimit, None),"
        " 'network': Network(3), 'policy': Lean(1)})))"
    )
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert other.stdout.strip() == canonical(described), other.stderr


DIFFERENT: list[Any] = [
    1, 1.5, "1", True, None, [1], {"a": 1}, {"a": 2}, np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.float32),
    np.random.default_rng(1), np.random.default_rng(2), torch.ones(2), torch.ones(2, dtype=torch.bfloat16),
    Lean(0), Lean(1), Lean(0).__call__, Network(0), Network(1), Lean, random_policy, TimeLimit,
    functools.partial(TimeLimit, max_episode_steps=5), functools.partial(TimeLimit, max_episode_steps=6),
]  # fmt: skip


def test_different_objects_have_different_fingerprints() -> None:
    texts = [canonical(fingerprint(x)) for x in DIFFERENT]
    assert len(set(texts)) == len(texts)


def test_a_function_whose_source_was_edited_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_policies.py").write_text("def left(observations, action_space):\n    return [0]\n")
    import my_policies  # type: ignore[import-not-found]

    before = fingerprint(my_policies.left)
    (tmp_path / "my_policies.py").write_text("def left(observations, action_space):\n    return [1]\n")
    assert fingerprint(my_policies.left) != before


def itself() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


@pytest.mark.parametrize("nameless", [lambda *_: 0, iter([]), itself(), np.array([object()]), object()], ids=type)
def test_what_another_process_could_not_recognise_has_no_identity(nameless: Any) -> None:
    with pytest.raises(FingerprintError):
        fingerprint({"held": [nameless]})


# --- the datamodule


@pytest.mark.parametrize("batch", [1, 32 << 20])
def test_episodes_from_the_cache_are_those_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("memup_lightning.datamodules.recorded.rewards._BATCH_BYTES", batch)
    monkeypatch.setattr(collection, "_BLOCK_BYTES", 500)
    given: dict[str, Any] = {"outcome": "return", "gamma": 0.9, "eval_at": "last", "observed": [0, 2]}
    given["wrappers"] = [functools.partial(TimeLimit, max_episode_steps=20)]  # cut: some outcomes are not known
    on_disk, in_memory = cartpole(tmp_path, **given), cartpole(None, **given)
    for data in (on_disk, in_memory):
        data.setup("fit")
        data.setup("test")
    for split in ("train", "val", "test"):
        assert isinstance(on_disk.sources[split], EpisodeStore)
        assert_same(on_disk.sources[split], in_memory.sources[split])
    assert not all(e["has_outcome"].all() for e in content(on_disk.sources["train"]))
    assert [e["eval_mask"].sum() for e in content(on_disk.sources["train"])] == [1] * 6


def test_a_second_fit_plays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cartpole(tmp_path, policy=Lean())
    first.setup("fit")

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the environment was played")

    monkeypatch.setattr("memup_lightning.datamodules.recorded.gymnasium.collect", refuse)
    second = cartpole(tmp_path, policy=Lean())
    second.setup("fit")
    for split in ("train", "val"):
        assert_same(first.sources[split], second.sources[split])
    with pytest.raises(AssertionError, match="was played"):
        second.setup("test")


CHANGED: list[dict[str, Any]] = [
    {"seed": 2},
    {"num_train": 7},
    {"num_envs": 3},
    {"observed": [0, 2]},
    {"outcome": "return"},
    {"outcome": "n_step", "n_steps": 3},
    {"gamma": 0.9},
    {"eval_at": "last"},
    {"env_kwargs": {"sutton_barto_reward": True}},
    {"wrappers": [functools.partial(TimeLimit, max_episode_steps=5)]},
    {"wrappers": [functools.partial(TimeLimit, max_episode_steps=6)]},
    {"policy": Lean(0)},
    {"policy": Lean(1)},
    {"policy": Network(0)},
    {"policy": Network(1)},
]


def test_a_changed_parameter_never_reads_the_old_cache(tmp_path: Path) -> None:
    for number, given in enumerate([{}, *CHANGED]):
        cartpole(tmp_path, **given).episodes("train")
        assert len(finished(tmp_path)) == number + 1, given


def test_a_changed_registration_never_reads_the_old_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cartpole(tmp_path).episodes("train")
    monkeypatch.setattr(gymnasium.spec("CartPole-v1"), "max_episode_steps", 12)
    assert cartpole(tmp_path).episodes("train").lengths.max() <= 12
    monkeypatch.undo()
    monkeypatch.setattr(gymnasium, "__version__", "99")
    cartpole(tmp_path).episodes("train")
    assert len(finished(tmp_path)) == 3


def test_what_changes_no_episode_finds_the_old_cache(tmp_path: Path) -> None:
    cartpole(tmp_path).episodes("train")
    cartpole(tmp_path, window=3, tolerance=0.1, chunk_length=3, max_steps=1000, num_val=9).episodes("train")
    assert len(finished(tmp_path)) == 1


def test_a_policy_that_remembers_gives_every_split_the_same_start(tmp_path: Path) -> None:
    both, alone = cartpole(tmp_path / "a", policy=Lean()), cartpole(tmp_path / "b", policy=Lean())
    both.setup("fit")
    assert_same(both.sources["val"], alone.episodes("val"))


@pytest.mark.parametrize(
    "given",
    [{"policy": lambda seen, space: space.sample()}, {"wrappers": [lambda env: env]}],
    ids=["policy", "wrappers"],
)
def test_a_lambda_is_refused_with_what_to_do(tmp_path: Path, given: dict[str, Any]) -> None:
    name = next(iter(given))
    with pytest.raises(MemUPError, match=rf"with {name}=.*lambda.*; define it at the top level .*leave cache_dir out"):
        cartpole(tmp_path, **given).episodes("train")
    assert list(tmp_path.iterdir()) == []
    assert len(cartpole(None, **given).episodes("train")) == 6


def test_only_the_episodes_in_play_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    class Watched(collection.RecentSteps):
        def forget(self, keep: int) -> None:
            super().forget(keep)
            held.append(sum(x.nbytes for block in self.blocks for x in block.values()))

    monkeypatch.setattr(collection, "RecentSteps", Watched)
    monkeypatch.setattr(collection, "_BLOCK_BYTES", 1000)
    env = make_vector_env("CartPole-v1", 2)
    episodes = sum(1 for _ in collect(env, random_policy, 300, 0))
    assert episodes == 300
    assert max(held[len(held) // 4 :]) <= max(held[: len(held) // 4]) * 4
    assert max(held) < 10_000, "of 300 episodes with 24 bytes a step, of which two are in play"
