"""Vector environments of Two-Colors: threads play what one thread would, and errors in them are raised."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from memup_lightning.envs.policies import random_policy
from memup_lightning.envs.two_colors.rules import ACTIONS
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors.episodes import collect
from memup_lightning.rl.vector_envs import make_vector_env

pytest.importorskip("vizdoom")

from memup_lightning.envs.two_colors.env import TwoColorsEnv
from memup_lightning.envs.two_colors.vector_env import DoomVectorEnv, TwoColorsDelayVectorEnv, TwoColorsVectorEnv

Made = Callable[..., TwoColorsVectorEnv]


@pytest.fixture
def make() -> Iterator[Made]:
    """Makes environments of short episodes (15 steps), and closes them."""
    envs: list[TwoColorsVectorEnv] = []

    def one(num_envs: int, **given: Any) -> TwoColorsVectorEnv:
        envs.append(TwoColorsVectorEnv(num_envs, **{"timeout": 60, **given}))
        return envs[-1]

    yield one
    for env in envs:
        env.close()


def assert_equal(one: Any, other: Any) -> None:
    """Of what vector environments return, in the kinds of numbers too."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, tuple) or np.asarray(one).dtype.hasobject:
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert_equal(a, b)
    else:
        assert np.asarray(one).dtype == np.asarray(other).dtype
        np.testing.assert_array_equal(one, other)


def engine(env: DoomVectorEnv, number: int) -> int:
    played = env.envs[number]
    assert isinstance(played, TwoColorsEnv)
    assert played._engine is not None
    assert played._engine.pid is not None
    return played._engine.pid


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_threads_play_what_gymnasium_plays_one_after_another(mode: AutoresetMode, make: Made) -> None:
    given: dict[str, Any] = {"timeout": 60, "item_info": True}
    env = make(3, threads=2, autoreset_mode=mode, **given)
    reference = SyncVectorEnv([partial(TwoColorsEnv, **given)] * 3, autoreset_mode=mode)
    assert env.metadata == reference.metadata
    assert_equal(env.reset(seed=5), reference.reset(seed=5))
    rng, ends = np.random.default_rng(0), 0
    for _ in range(40):
        actions = rng.integers(0, len(ACTIONS), 3)
        played = env.step(actions)
        assert_equal(played, reference.step(actions))
        over = (played[2] | played[3]).all()
        ends += over
        if over and mode == AutoresetMode.DISABLED:
            for some in ([True, False, True], [False, True, False]):
                options = [{"reset_mask": np.array(some)} for _ in range(2)]
                assert_equal(env.reset(options=options[0]), reference.reset(options=options[1]))
    assert ends == 2
    reference.close()


def test_what_was_returned_does_not_change_later(make: Made) -> None:
    env = make(2)
    returned = [env.reset(seed=1), env.step(np.zeros(2, np.int64))]
    before = [frame.copy() for frame, *_ in returned]
    for _ in range(3):
        env.step(np.full(2, 3))
    for (frame, *_), copy in zip(returned, before, strict=True):
        np.testing.assert_array_equal(frame, copy)


@pytest.mark.parametrize(
    ("name", "kind"), [("TwoColors", TwoColorsVectorEnv), ("TwoColorsDelay", TwoColorsDelayVectorEnv)]
)
def test_agents_and_collectors_are_given_threads(name: str, kind: type[DoomVectorEnv]) -> None:
    for env in (gymnasium.make_vec(f"memup/{name}-v0", num_envs=2), make_vector_env(f"memup/{name}-v0", 2)):
        assert isinstance(env, kind)
        assert env.reset(seed=0)[0].shape == (2, 64, 112, 3)
        env.close()


def test_the_episode_of_an_engine_that_dies_is_left_out_and_the_others_go_on(make: Made) -> None:
    whole = list(collect(make(2), random_policy, 4, seed=0))
    env = make(2)
    broken: list[bool] = []

    def policy(observations: Any, action_space: gymnasium.Space[Any]) -> Any:
        if not broken:
            broken.append(True)
            os.kill(engine(env, 1), signal.SIGKILL)
        return action_space.sample()

    found = list(collect(env, policy, 4, seed=0))
    assert [len(e.arrays["reward"]) for e in found] == [len(e.arrays["reward"]) for e in whole] == [15] * 4


@pytest.mark.parametrize("number", [0, 1], ids=["of the caller", "of another"])
def test_an_error_in_any_thread_is_raised(number: int, make: Made) -> None:
    env = make(2, threads=2)
    env.reset(seed=0)
    env.envs[number].reset = env.envs[number].step = refuse  # type: ignore[method-assign]
    with pytest.raises(MemUPError, match="broken"):
        env.step(np.zeros(2, np.int64))
    with pytest.raises(MemUPError, match="broken"):
        env.reset()


def refuse(*_: Any, **__: Any) -> Any:
    raise MemUPError("broken")


def test_threads_end_with_the_environment() -> None:
    before = threading.active_count()
    env = TwoColorsVectorEnv(3, threads=3)
    env.reset(seed=0)
    assert threading.active_count() > before
    env.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("two-colors")]


@pytest.mark.parametrize(
    ("given", "says"),
    [({"num_envs": 0}, "num_envs=0"), ({"threads": 0}, "threads=0"), ({"frame_skip": 0}, "frame_skip=0")],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(MemUPError, match=says):
        TwoColorsVectorEnv(**given)


def test_wrong_calls_are_refused(make: Made) -> None:
    env = make(2)
    with pytest.raises(MemUPError, match="reset"):
        env.step(np.zeros(2, np.int64))
    with pytest.raises(MemUPError, match="3 seeds for 2"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(MemUPError, match="reset_mask"):
        env.reset(options={"reset_mask": np.zeros(2, np.bool_)})
    env.reset(seed=[1, None])
    with pytest.raises(MemUPError, match=r"shape \(3,\)"):
        env.step(np.zeros(3, np.int64))
    with pytest.raises(MemUPError, match="action 8"):
        env.step(np.array([0, 8]))
