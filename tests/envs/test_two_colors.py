"""Two-Colors: its rules as they are played, and what an agent does and does not see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.utils.env_checker import check_env

import memup_lightning.envs  # noqa: F401 (registers memup/...)
from memup_lightning.envs.two_colors.policy import TwoColorsDelayPolicy, TwoColorsPolicy
from memup_lightning.envs.two_colors.rules import ACTIONS, LEFT, RIGHT
from memup_lightning.exceptions import MemUPError

pytest.importorskip("vizdoom")

from memup_lightning.envs.two_colors.base import DoomEnv
from memup_lightning.envs.two_colors.env import TwoColorsDelayEnv, TwoColorsEnv
from tests.envs.rules_two_colors import act, check, pillar_pixels

Step = tuple[npt.NDArray[np.uint8], float, bool, bool, dict[str, Any]]


def play(env: DoomEnv, actions: npt.NDArray[np.int64], seed: int = 0) -> Iterator[Step]:
    """The reset (as a step without reward) and the steps of an episode, until it ends or the actions do."""
    frame, info = env.reset(seed=seed)
    yield frame, 0.0, False, False, info
    for action in actions:
        step: Step = env.step(action)  # type: ignore[assignment]
        yield step
        if step[2] or step[3]:
            return


def random_actions(count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, len(ACTIONS), count)


def standing(count: int) -> npt.NDArray[np.int64]:
    """Looking left and right, as good as not moving."""
    return np.where(np.arange(count) % 2, LEFT, RIGHT)


@pytest.fixture
def made() -> Iterator[list[DoomEnv]]:
    envs: list[DoomEnv] = []
    yield envs
    for env in envs:
        env.close()


# --- the environments


@pytest.mark.parametrize("name", ["TwoColors", "TwoColorsDelay"])
def test_gymnasium_finds_nothing_to_complain_of(name: str) -> None:
    env = gymnasium.make(f"memup/{name}-v0", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)  # it would open a window
    frame = env.unwrapped.render()
    assert isinstance(frame, np.ndarray)
    assert frame.shape == (120, 160, 3)
    env.close()


@pytest.mark.parametrize("kind", [TwoColorsEnv, TwoColorsDelayEnv])
def test_engines_with_one_seed_play_one_episode(kind: Callable[..., DoomEnv], made: list[DoomEnv]) -> None:
    made += [kind(item_info=True), kind(item_info=True)]
    list(play(made[1], random_actions(5), seed=3))  # one engine has played before
    one, other = (list(play(env, random_actions(700), seed=7)) for env in made)
    assert len(one) == len(other) > 100
    for (a, *rest), (b, *same) in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert repr(rest) == repr(same)  # NaN is not equal to itself
    different = list(play(made[0], random_actions(100), seed=8))
    assert any((a[0] != b[0]).any() for a, b in zip(one, different, strict=False))


def test_episodes_agree_with_the_rules_tic_by_tic() -> None:
    found = check(4)
    assert {episode["colour"] for episode in found} == {0, 1}
    assert max(episode["seen"] for episode in found) > 60
    assert sum(episode["matched"] + episode["mismatched"] for episode in found) > 20


def test_either_colour_comes_half_of_the_time(made: list[DoomEnv]) -> None:
    made.append(TwoColorsEnv(items=0))
    env = made[0]
    colours = [env.reset(seed=seed)[1]["colour"] for seed in range(60)]
    assert 18 <= sum(colours) <= 42
    for seed in range(4):
        frame, info = env.reset(seed=seed)
        red, green = pillar_pixels(frame)
        assert (green > red) == (info["colour"] == 1)


def test_rules_are_parameters(made: list[DoomEnv]) -> None:
    made.append(TwoColorsEnv(frame_skip=1, items=0, item_interval=5000, pillar_tics=20, decay=40, decay_interval=30))
    steps = list(play(made[0], standing(200)))
    seen = [sum(pillar_pixels(frame)) > 0 for frame, *_ in steps]
    assert seen == [info["pillar"] for *_, info in steps]
    assert sum(seen) == 19  # it is there from tic 0 on, and the first one seen is tic 1
    assert next(info["tic"] for *_, info in steps if info["health"] == 60) == 31
    assert steps[-1][2:4] == (True, False)
    assert len(steps) == 91


def test_the_timeout_truncates(made: list[DoomEnv]) -> None:
    made.append(TwoColorsEnv(timeout=50, items=0))
    steps = list(play(made[0], standing(100)))
    assert steps[-1][2:4] == (False, True)
    assert len(steps) == 1 + 13  # the last step has two tics
    assert sum(reward for _, reward, *_ in steps) == pytest.approx(0.5)
    with pytest.raises(MemUPError, match="reset"):
        made[0].step(np.int64(0))


def test_the_screen_does_not_show_the_health(made: list[DoomEnv]) -> None:
    made += [TwoColorsEnv(), TwoColorsEnv(decay=20, item_health=0)]
    one, other = (list(play(env, random_actions(150))) for env in made)
    assert {step[4]["health"] for step in one} != {step[4]["health"] for step in other}
    for a, b in zip(one, other, strict=False):
        np.testing.assert_array_equal(a[0], b[0])


def test_the_observation_has_the_size_and_colour_asked_for(made: list[DoomEnv]) -> None:
    made += [
        TwoColorsEnv(resolution="320X240", shrink=2),
        TwoColorsEnv(observation_size=(32, 56), shrink=2),
        TwoColorsEnv(observation_size=(120, 160), colour=False, render_mode="rgb_array"),
        TwoColorsEnv(observation_size=(40, 53), shrink=3, colour=False),
    ]
    frames = [env.reset(seed=1)[0] for env in made]
    assert [frame.shape for frame in frames] == [(64, 112, 3), (32, 56, 3), (120, 160, 1), (40, 53, 1)]
    large = TwoColorsEnv()
    made.append(large)
    reference = large.reset(seed=1)[0]
    # The same view: half the size is the mean of four pixels.
    means = reference.reshape(32, 2, 56, 2, 3).astype(int).sum((1, 3)) // 4
    np.testing.assert_array_equal(frames[1], means)
    screen = made[3]._screen[:, :159].astype(int)
    np.testing.assert_array_equal(frames[3][..., 0], screen.reshape(40, 3, 53, 3).sum((1, 3)) // 9)
    picture = made[2].render()
    assert picture is not None
    assert picture.shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"observation_size": (64, 200)}, "larger"),
        ({"resolution": "123X45"}, "160X120"),
        ({"render_mode": "ansi"}, "rgb_array"),
        ({"frame_skip": 0}, "at least 1"),
        ({"field_of_view": 170}, "120"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(MemUPError, match=says):
        TwoColorsEnv(**given)


def test_without_a_display_a_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform != "linux":
        pytest.skip("other systems have no such variables")
    with pytest.raises(MemUPError, match="no display"):
        TwoColorsEnv(render_mode="human").reset()


@pytest.mark.parametrize("action", [np.int64(8), -1, 1.0, "left"])
def test_an_unknown_action_is_refused(action: Any, made: list[DoomEnv]) -> None:
    made.append(TwoColorsEnv())
    made[0].reset(seed=0)
    with pytest.raises(MemUPError, match=f"action {action} is none of 0 to 7"):
        made[0].step(action)


def test_the_items_in_view_are_counted(made: list[DoomEnv]) -> None:
    made.append(TwoColorsEnv(item_info=True))
    counts = []
    for _, _, _, _, info in play(made[0], random_actions(60)):
        for name in ("red", "green", "medikit"):
            assert (info[f"{name}_count"] == 0) == (info[f"{name}_distance"] == 0)
        counts.append((info["red_count"], info["green_count"]))
    assert max(counts[0]) <= 10
    assert np.max(counts, axis=0).min() >= 2


# --- the delay variant, and the policies


def test_the_delay_variant_ends_with_one_choice(made: list[DoomEnv]) -> None:
    made.append(TwoColorsDelayEnv(delay=200, timeout=500, item_info=True))
    env, policy = made[0], TwoColorsDelayPolicy(noise=0.0)
    rooms, ends = set(), []
    for seed in range(8):
        frame, info = env.reset(options={"episode_seed": seed})
        assert sum(pillar_pixels(frame)) > 0
        over = False
        while not over:
            room = round(info["x"] / 12_000)
            assert room == -1 + (info["tic"] > 100) + (info["tic"] > 300), info
            rooms.add(room)
            infos = {name: np.array([value]) for name, value in info.items()}
            frame, reward, terminated, truncated, info = env.step(policy(frame[None], env.action_space, infos)[0])
            over = terminated or truncated
            assert over or reward == 0
        assert (terminated, truncated) == (True, False)
        assert info["matched"] + info["mismatched"] == 1
        assert reward == 5 * info["matched"]
        ends.append(reward)
    assert rooms == {-1, 0, 1}
    assert set(ends) == {0, 5}


def test_the_choice_can_be_missed(made: list[DoomEnv]) -> None:
    made.append(TwoColorsDelayEnv(delay=40, timeout=200, decay=0))
    steps = list(play(made[0], standing(100)))
    assert steps[-1][2:4] == (False, True)
    assert all(reward == 0 for _, reward, *_ in steps)


def test_the_script_takes_about_as_many_vests_of_either_colour(made: list[DoomEnv]) -> None:
    made.append(TwoColorsEnv(item_info=True))
    env, policy = made[0], TwoColorsPolicy()
    for seed in range(3, 8):
        frame, info = env.reset(options={"episode_seed": seed})
        over = False
        while not over:
            frame, _, terminated, truncated, info = env.step(act(policy, env, frame, info))
            over = terminated or truncated
        if info["tic"] > 1500:
            assert info["matched"] > 10
            assert info["mismatched"] > 10
            return
    pytest.fail("the script always died early")


@pytest.mark.parametrize("colour", [True, False])
def test_an_oracle_sees_the_colour_of_the_pillar_in_every_frame_and_nothing_else_changes(
    made: list[DoomEnv], colour: bool
) -> None:
    made += [TwoColorsEnv(colour=colour, oracle=oracle) for oracle in (True, False)]
    shown = set()
    for seed in range(4):
        painted, plain = (list(play(env, random_actions(60), seed)) for env in made)
        for (frame, *with_it), (other, *without_it) in zip(painted, plain, strict=True):
            assert with_it == without_it
            assert (frame[8:] == other[8:]).all()
            green = bool(frame[0, 0, -2 if colour else 0])
            assert green == (with_it[-1]["colour"] == 1)
            assert (frame[:8] == frame[0, 0]).all()
            shown.add(green)
    assert shown == {True, False}


def test_the_script_that_looks_for_right_vests_alone_takes_more_of_them(made: list[DoomEnv]) -> None:
    made.append(TwoColorsEnv(item_info=True))
    env, policy = made[0], TwoColorsPolicy(low_health=100)
    right = wrong = 0
    for seed in range(3):
        frame, info = env.reset(options={"episode_seed": seed})
        over = False
        while not over:
            frame, _, terminated, truncated, info = env.step(act(policy, env, frame, info))
            over = terminated or truncated
        right, wrong = right + info["matched"], wrong + info["mismatched"]
    assert right > 1.5 * wrong  # it walks over wrong ones on its way


def test_a_policy_that_needs_the_items_in_view_says_so() -> None:
    with pytest.raises(MemUPError, match="item_info"):
        TwoColorsPolicy()(np.zeros(1), gymnasium.spaces.Discrete(8), {"tic": np.zeros(1)})


def test_without_vizdoom_the_rest_works_and_the_error_names_the_extra() -> None:
    program = """
import sys
sys.modules["vizdoom"] = None
import gymnasium
from memup_lightning import envs
gymnasium.make("memup/TMaze-v0")
try:
    gymnasium.make("memup/TwoColors-v0")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "MemUPError" in done.stdout
    assert "memup-lightning[vizdoom]" in done.stdout
