"""Datamodules that collect episodes find them on disk again, and never those of other arguments."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.wrappers import TimeLimit

from memup_lightning.data.store import EpisodeStore
from memup_lightning.envs.policies import random_policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors import episodes as collection
from memup_lightning.rl.collectors.episodes import collect
from memup_lightning.rl.vector_envs import make_vector_env
from tests.data.cached import Lean, Network, assert_same, cartpole, content, finished


@pytest.mark.parametrize("batch", [1, 32 << 20])
def test_episodes_from_the_cache_are_those_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("memup_lightning.datamodules.recorded.environments.rewards._BATCH_BYTES", batch)
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

    monkeypatch.setattr("memup_lightning.datamodules.recorded.environments.gymnasium.collect", refuse)
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
    {"outcome": "return", "gamma": 0.9},
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
