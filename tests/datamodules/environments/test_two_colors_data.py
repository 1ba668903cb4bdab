"""The data of Two-Colors: the policy, the evaluated steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.datamodules import TwoColorsDataModule
from memup_lightning.datamodules.recorded.environments.two_colors import COLOUR
from memup_lightning.envs.two_colors.policy import TwoColorsPolicy
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.scaling import center_and_scale
from memup_lightning.typing import Arrays

pytest.importorskip("vizdoom")


def module(**given: Any) -> TwoColorsDataModule:
    return TwoColorsDataModule(**{"num_train": 1, "num_val": 1, "num_test": 1, "num_envs": 1, "seed": 0, **given})


NEAR, FAR = 60.0, 300.0  # map units; a player reaches 83 in a step of 4 tics


def episodes(rewards: list[float], green_pillar: bool, **seen: dict[int, float]) -> Arrays:
    """Fields of an episode in which a vest of the colour that is taken, and no other, is in reach; ``seen`` says where the
    nearest ``red`` or ``green`` one is instead, by step."""
    reward = np.array(rewards, np.float32)
    taken_green = (reward > 0.5) == green_pillar
    distance = {"red": np.where(taken_green, np.nan, NEAR), "green": np.where(taken_green, NEAR, np.nan)}
    for colour, places in seen.items():
        for step, value in places.items():
            distance[colour][step] = value
    infos = {f"info.{colour}_distance": np.nan_to_num(x).astype(np.float32) for colour, x in distance.items()}
    for colour, x in distance.items():
        infos[f"info.{colour}_count"] = (~np.isnan(x)).astype(np.float32)
        infos[f"info.{colour}_bearing"] = np.zeros(len(x), np.float32)
    known = np.ones(len(reward), np.bool_)
    return {"reward": reward, COLOUR: np.full(len(reward), green_pillar, np.float32), HAS_OUTCOME: known, **infos}


def eval_mask(data: TwoColorsDataModule, arrays: Arrays, terminated: bool = True) -> list[int]:
    flags = data.eval_steps(arrays, np.array([len(arrays["reward"])]), np.array([terminated]))
    return np.flatnonzero(flags).tolist()


def episode(steps: int, rewards: dict[int, float], living: float = 0.04) -> list[float]:
    return [living + rewards.get(step, 0.0) for step in range(steps)]


@pytest.mark.parametrize("green", [False, True])
def test_late_vests_are_evaluated(green: bool) -> None:
    late = {323: 1.0, 340: -1.0, 350: 1.0}  # the pillar is seen in the first 23 steps
    arrays = episodes(episode(525, {100: 1.0, 322: -1.0} | late), green)
    assert eval_mask(module(), arrays, terminated=False) == list(late)


def test_a_vest_is_not_evaluated_where_its_outcome_holds_another() -> None:
    rewards = {400: 1.0, 410: -1.0, 412: -1.0, 420: 2.0, 430: -1.0}
    assert eval_mask(module(n_steps=1), episodes(episode(525, rewards), False)) == [400, 410, 412, 430]
    assert eval_mask(module(n_steps=3), episodes(episode(525, rewards), False)) == [400, 412, 430]


def test_only_a_vest_that_the_last_frame_shows_alone_in_reach_is_evaluated() -> None:
    rewards = {400: 1.0, 410: 1.0, 420: 1.0, 430: -1.0, 440: -1.0, 450: -1.0}
    red = {400: np.nan, 410: FAR, 420: NEAR}  # with a red pillar the first three are red
    green = {420: NEAR, 430: np.nan, 440: NEAR, 450: NEAR}
    assert eval_mask(module(), episodes(episode(525, rewards), False, red=red, green=green)) == [440, 450]
    green[450] = FAR
    assert eval_mask(module(), episodes(episode(525, rewards), False, red=red, green=green)) == [440]


def seen(data: TwoColorsDataModule, own: int, other: int, bearing: float, green: bool = True) -> int:
    """The number of a vest that is seen so under a green pillar."""
    colours = ("green", "red") if green else ("red", "green")
    rewards = data.rules.match_reward if green else data.rules.mismatch_reward
    arrays = {COLOUR: np.ones(1, np.float32), "reward": np.array([rewards], np.float32)}
    for colour, count, angle in zip(colours, (own, other), (bearing, 50.0), strict=True):
        arrays |= {f"info.{colour}_count": np.array([float(count)]), f"info.{colour}_bearing": np.array([angle])}
    return int(data.view_class(arrays)[0])


def test_the_class_of_a_view_is_colour_place_and_how_many_others_are_in_view() -> None:
    room = module()
    one = seen(room, 3, 1, 5.0)
    assert one == seen(room, 5, 3, -9.0)
    assert one not in {
        seen(room, 3, 2, 5.0),
        seen(room, 3, 1, 15.0),
        seen(room, 3, 1, 30.0),
        seen(room, 3, 1, 5.0, False),
    }
    assert seen(room, 6, 1, 0.0) == seen(room, 20, 1, 0.0)  # far more
    every = {
        seen(room, own, other, bearing, green)
        for own in range(1, 9)
        for other in range(9)
        for bearing in (0.0, -15.0, 40.0)
        for green in (False, True)
    }
    assert every == set(range(9 * 3 * 2))
    delay = module(variant="delay")
    assert seen(delay, 1, 1, 0.0) == seen(delay, 1, 0, 40.0) != seen(delay, 1, 1, 0.0, False)


def test_as_many_vests_are_evaluated_right_as_wrong_in_each_class_of_views() -> None:
    data = module()
    rng = np.random.default_rng(0)
    parts = []
    for green in (False, True):
        reward = episode(400, {step: float(rewards) for step, rewards in enumerate(rng.choice([-1, 1, 1], 400))})
        part = episodes(reward, green)
        # Where the pillar is red more green vests are in view, and right ones lie straight ahead more often.
        for colour in ("red", "green"):
            part[f"info.{colour}_count"] += rng.poisson(2 + ((colour == "red") == green), 400).astype(np.float32)
            right = np.array(reward) > 0
            part[f"info.{colour}_bearing"] = np.where(rng.random(400) < 0.3 + 0.4 * right, 0, 30).astype(np.float32)
        part[HAS_OUTCOME][-3:] = False  # the time is out
        parts.append({**part, EVAL_MASK: rng.random(400) < 0.9})
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    flags = data._balanced(ArrayEpisodes(arrays, [400, 400]), "val")
    eval_mask = arrays[EVAL_MASK] & arrays[HAS_OUTCOME]
    assert (eval_mask | ~flags).all()
    views, right = data.view_class(arrays), arrays["reward"] > 0
    for number in np.unique(views):
        there = eval_mask & (views == number)
        fewest = min((there & right).sum(), (there & ~right).sum())
        assert (flags & there & right).sum() == (flags & there & ~right).sum() == fewest
    assert flags.sum() > 200
    assert (data._balanced(ArrayEpisodes(arrays, [400, 400]), "val") == flags).all()


def test_what_cannot_be_balanced_is_evaluated_as_it_is_with_a_warning() -> None:
    arrays = episodes(episode(40, {5: 1.0, 10: 1.0, 20: -1.0}), True)  # the wrong one is red
    arrays[EVAL_MASK] = np.abs(arrays["reward"]) > 0.5
    with pytest.warns(UserWarning, match="num_val"):
        flags = module()._balanced(ArrayEpisodes(arrays, [40]), "val")
    assert np.flatnonzero(flags).tolist() == [5, 10, 20]


def test_the_delay_variant_judges_choices_only() -> None:
    data = module(variant="delay")  # the choice comes at step 525
    right, none = episodes(episode(541, {540: 5.0}, living=0), True), episodes(episode(541, {}, living=0), True)
    assert eval_mask(data, right) == [540]
    assert eval_mask(data, none) == [540]  # the other vest pays nothing
    assert eval_mask(data, {name: x[:400] for name, x in none.items()}) == []  # died in the acid
    assert eval_mask(data, none, terminated=False) == []  # did not choose in time


def test_predictions_count_as_right_on_their_side_of_the_middle() -> None:
    assert module().tolerance == 0.8
    assert module(variant="delay").tolerance == 0.4  # of a spread of 5, the reward of the one vest that pays


@pytest.mark.parametrize("doubles", [0.0, 0.03, 0.1])
def test_no_constant_is_right_of_vests_of_both_colours(doubles: float) -> None:
    """Two vests within an outcome of three steps make the spread larger than the reward of one: no prediction of the middle
    may count as right, or EarlyStopping ends the run of conf/two_colors.yaml at its first validation."""
    rng = np.random.default_rng(1)
    vests = np.where(rng.random(5000) < 0.5, 1.0, -1.0) * np.where(rng.random(5000) < doubles, 2.0, 1.0)
    _, spread = center_and_scale(np.concatenate([vests, np.zeros(50_000)]) + 0.12, rare_decide=True)
    assert module().tolerance * spread < 0.95


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(MemUPError, match="variant='maze'"):
        module(variant="maze")


def test_episodes_are_played_by_the_policy_and_kept_as_bytes(tmp_path: Any) -> None:
    given: dict[str, Any] = {"rules": {"timeout": 400}, "eval_after": 20, "num_train": 2, "seed": 3}
    data = module(**given, cache_dir=str(tmp_path), policy=TwoColorsPolicy(noise=0.0))
    source = data.episodes("train")
    assert source.fields["observation"].dtype == "uint8"
    assert source.fields["observation"].shape == (32, 56, 3)
    read = source.read(0, 0, int(source.lengths[0]))
    assert (np.abs(read[OUTCOME]) > 0.5).sum() >= 3
    assert set(read["action"]) <= set(range(5))  # the script does not walk backwards
    flags = np.concatenate([source.read(e, 0, int(n))[EVAL_MASK] for e, n in enumerate(source.lengths)])
    assert flags.any()
    read_by_a_network = {*data.task.inputs, *data.task.context}
    assert read_by_a_network == {"observation", "action", "reward"}  # and nothing that is hidden from the player
    in_memory = module(**given, policy=TwoColorsPolicy(noise=0.0)).episodes("train")
    for episode_number in range(2):
        stop = int(source.lengths[episode_number])
        assert in_memory.lengths[episode_number] == stop
        for name, stored in source.read(episode_number, 0, stop).items():
            np.testing.assert_array_equal(stored, in_memory.read(episode_number, 0, stop)[name])
