"""GymnasiumDataModule: what it plays, how many episodes, and what it refuses."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from memup_lightning.datamodules import GymnasiumDataModule, JointDataModule
from memup_lightning.datamodules.recorded.environments import gymnasium as gymnasium_data
from memup_lightning.datamodules.recorded.environments import rewards
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec

Env = gymnasium.Env[Any, Any]


def cartpole(**given: Any) -> GymnasiumDataModule:
    data = GymnasiumDataModule("CartPole-v1", num_train=6, num_val=4, num_test=3, num_envs=4, lanes=4, seed=1, **given)
    data.setup("fit")
    return data


def test_an_environment_of_others_goes_through_with_its_velocities_masked_out() -> None:
    data, whole = cartpole(observed=[0, 2]), cartpole()
    source, full = data.sources["train"], whole.sources["train"]
    assert data.task.fields["observation"] == FieldSpec((2,), entries=(0, 2))
    seen, all_seen = (s.read(0, 0, 5)["observation"] for s in (source, full))
    assert np.array_equal(seen, all_seen[:, [0, 2]])


def test_splits_share_no_episode() -> None:
    data = cartpole()
    data.setup("test")
    starts = {
        split: {tuple(s.read(e, 0, 1)["observation"][0]) for e in range(len(s))} for split, s in data.sources.items()
    }
    assert [len(starts[split]) for split in ("train", "val", "test")] == [6, 4, 3]
    assert len(set.union(*starts.values())) == 13


def test_the_outcome_is_what_was_asked_for() -> None:
    source = cartpole(outcome="return", gamma=0.5, eval_at="last").sources["train"]
    length = int(source.lengths[0])
    read = source.read(0, 0, length)
    assert read["outcome"][-1] == 1
    assert read["outcome"][0] == pytest.approx(2 - 2.0 ** (1 - length))
    assert read["eval_mask"].tolist() == [False] * (length - 1) + [True]


def test_short_episodes_are_more_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium_data, "_FEWEST", 8)
    monkeypatch.setattr(gymnasium_data, "_STEPS", 300)
    episodes = GymnasiumDataModule("CartPole-v1", num_val=4, num_envs=4, seed=1).episodes
    lengths = episodes("train").lengths
    assert len(lengths) == 8 * 300 // lengths[:8].sum() > 8
    first = episodes("train").gather(np.arange(len(lengths)), np.zeros(len(lengths), np.int64), 1, ["observation"])
    assert len(np.unique(first["observation"][:, 0], axis=0)) == len(lengths), "an episode was played twice"
    assert len(episodes("val")) == 4
    monkeypatch.setattr(gymnasium_data, "_STEPS", 10)
    assert len(episodes("train")) == 8, "long episodes"


def test_collecting_that_takes_long_says_how_to_keep_the_episodes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rewards, "_LONG", 0.0)
    with caplog.at_level(logging.INFO):
        cartpole(cache_dir=str(tmp_path)).episodes("train")
        assert "cache_dir" not in caplog.text
        cartpole().episodes("train")
    assert "CartPole-v1-train: collected in" in caplog.text
    assert "; cache_dir='episodes' keeps them" in caplog.text


def test_large_observations_are_fewer_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium_data, "_FEWEST", 8)
    monkeypatch.setattr(gymnasium_data, "_STEPS", 10**6)
    data = GymnasiumDataModule("CartPole-v1", num_val=4, num_envs=4, seed=1)
    step_bytes = sum(field.step_bytes for field in data.stored_fields.values())
    monkeypatch.setattr(gymnasium_data, "_BYTES", 500 * step_bytes)
    lengths = data.episodes("train").lengths
    assert len(lengths) == 8 * 500 // lengths[:8].sum() > 8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"observed": [0, 7]}, r"observed=\[0, 7\]: choose among the entries 0 to 3"),
        ({"observed": []}, r"observed=\[\]"),
        ({"num_val": 0}, "num_val=0"),
    ],
)
def test_an_impossible_datamodule_is_refused_with_its_value(given: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        _ = GymnasiumDataModule("CartPole-v1", **given).task


@pytest.mark.parametrize(
    "given",
    [
        {"gamma": 0.9},
        {"n_steps": 5},
        {"outcome": "n_step", "gamma": 0.9},
        {"outcome": "return", "n_steps": 5},
    ],
)
def test_a_setting_that_the_outcome_does_not_follow_from_is_refused(given: dict[str, Any]) -> None:
    outcome = given.get("outcome", "reward")
    with pytest.raises(MemUPError, match=rf"(gamma=0.9|n_steps=5) has no effect with outcome={outcome}"):
        cartpole(**given)
    with pytest.raises(MemUPError, match=r"n_steps=5 has no effect with outcome=reward"):
        JointDataModule("CartPole-v1", n_steps=5)


@pytest.mark.parametrize(("given", "reach"), [({"outcome": "return"}, "to the end"), ({"n_steps": 9}, "over 9 steps")])
def test_returns_of_an_environment_that_only_truncates_are_said_to_be_unknown(
    given: dict[str, Any], reach: str
) -> None:
    kwargs = {"env_kwargs": {"max_episode_steps": 3}, "outcome": "n_step"} | given
    with pytest.raises(
        MemUPError, match=rf"none of [\d,]+ steps has .*: every episode was cut off .* a sum {reach} needs"
    ):
        cartpole(**kwargs)
