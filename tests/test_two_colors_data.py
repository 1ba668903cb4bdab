"""The data of Two-Colors: who plays, what is judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from datamodules import TwoColorsDataModule
from memup_lightning.envs.two_colors.policy import TwoColorsPolicy
from memup_lightning.episodes import EVALUATE, OUTCOME
from memup_lightning.errors import MemUPError

pytest.importorskip("vizdoom")


def module(**given: Any) -> TwoColorsDataModule:
    return TwoColorsDataModule(**{"num_train": 1, "num_val": 1, "num_test": 1, "num_envs": 1, "seed": 0, **given})


def judged(data: TwoColorsDataModule, rewards: list[float], terminated: bool = True) -> list[int]:
    reward = np.array(rewards, np.float32)
    flags = data.judged_steps({"reward": reward}, np.array([len(reward)]), np.array([terminated]))
    return np.flatnonzero(flags).tolist()


def episode(steps: int, paid: dict[int, float], living: float = 0.04) -> list[float]:
    return [living + paid.get(step, 0.0) for step in range(steps)]


def test_late_vests_are_judged_as_many_of_either_kind() -> None:
    data = module()  # the pillar is seen in the first 23 steps
    late = {330: 1.0, 340: -1.0, 350: 1.0, 360: 1.0, 370: -1.0}
    chosen = judged(data, episode(525, {100: 1.0, 322: -1.0} | late), terminated=False)
    assert set(chosen) <= set(late)
    assert sum(late[step] for step in chosen) == 0
    assert len(chosen) == 4


def test_a_vest_is_not_judged_where_its_outcome_holds_another() -> None:
    paid = {400: 1.0, 410: -1.0, 412: -1.0, 420: 2.0, 430: -1.0}
    assert judged(module(), episode(525, paid)) in ([400, 410], [400, 412], [400, 430])
    assert judged(module(n_steps=3), episode(525, paid)) in ([400, 412], [400, 430])


def test_what_is_judged_of_an_episode_does_not_depend_on_those_beside_it() -> None:
    data = module(judged_after=0)
    rng = np.random.default_rng(0)
    reward = (0.04 + rng.integers(-1, 2, 300)).astype(np.float32)
    alone = data.judged_steps({"reward": reward}, np.array([300]), np.array([True]))
    twice = np.concatenate([reward, reward])
    beside = data.judged_steps({"reward": twice}, np.array([300, 300]), np.array([True, True]))
    np.testing.assert_array_equal(beside, np.concatenate([alone, alone]))
    assert alone.any()


def test_the_delay_variant_judges_choices_only() -> None:
    data = module(variant="delay")  # the choice comes at step 525
    assert judged(data, episode(541, {540: 5.0}, living=0)) == [540]
    assert judged(data, episode(541, {}, living=0)) == [540]  # the other vest pays nothing
    assert judged(data, episode(400, {}, living=0)) == []  # died in the acid
    assert judged(data, episode(575, {}, living=0), terminated=False) == []  # did not choose in time


def test_predictions_count_as_right_on_their_side_of_the_middle() -> None:
    assert module().tolerance == 1.0
    assert module(variant="delay").tolerance == 2.5


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(MemUPError, match="variant='maze'"):
        module(variant="maze")


def test_episodes_are_played_by_the_policy_and_kept_as_bytes(tmp_path: Any) -> None:
    given: dict[str, Any] = {"rules": {"timeout": 400}, "judged_after": 20, "num_train": 2, "seed": 3}
    data = module(**given, cache_dir=str(tmp_path), policy=TwoColorsPolicy(noise=0.0))
    source = data.episodes("train")
    assert source.fields["observation"].dtype == "uint8"
    assert source.fields["observation"].shape == (32, 56, 3)
    read = source.read(0, 0, int(source.lengths[0]))
    assert (np.abs(read[OUTCOME]) > 0.5).sum() >= 3
    assert set(read["action"]) <= set(range(5))  # the script does not walk backwards
    flags = np.concatenate([source.read(e, 0, int(n))[EVALUATE] for e, n in enumerate(source.lengths)])
    assert flags.sum() % 2 == 0
    in_memory = module(**given, policy=TwoColorsPolicy(noise=0.0)).episodes("train")
    for episode_number in range(2):
        stop = int(source.lengths[episode_number])
        assert in_memory.lengths[episode_number] == stop
        for name, stored in source.read(episode_number, 0, stop).items():
            np.testing.assert_array_equal(stored, in_memory.read(episode_number, 0, stop)[name])
