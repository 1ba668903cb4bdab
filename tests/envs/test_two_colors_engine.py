"""ViZDoom's engine dies, or hangs: the run continues or ends with an error, and no files remain."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from memup_lightning.envs.policies import random_policy
from memup_lightning.envs.two_colors.rules import FORWARD, LEFT
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors.episodes import collect

pytest.importorskip("vizdoom")

from memup_lightning.envs.two_colors.env import TwoColorsEnv
from memup_lightning.envs.two_colors.vector_env import TwoColorsVectorEnv

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="what is promised here is Linux's to keep"),
    pytest.mark.usefixtures("no_engine_left"),
]


def episode(env: TwoColorsEnv, seed: int | None = None) -> list[Any]:
    frame, info = env.reset(seed=seed)
    out = [frame]
    for number in range(20):
        frame, reward, *_ = env.step(np.int64(FORWARD if number % 3 else LEFT))
        out += [frame, reward]
    return [*out, info["episode_seed"]]


def break_engine(env: TwoColorsEnv, how: signal.Signals) -> None:
    assert env._engine is not None
    assert env._engine.pid is not None
    os.kill(env._engine.pid, how)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_an_engine_that_fails_is_replaced_and_its_episode_played_again(
    how: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    env = TwoColorsEnv(patience=1.0)
    whole = episode(env, seed=1)
    following = episode(env)
    env.reset(seed=1)
    env.step(np.int64(FORWARD))
    break_engine(env, how)
    frame, reward, terminated, truncated, info = env.step(np.int64(FORWARD))
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["discarded"]
    assert info["engine_failures"] == 1
    assert env.observation_space.contains(frame)
    assert "discarded" in caplog.text
    for expected in (whole, following):  # the failure leaves no trace in what is played
        for a, b in zip(episode(env), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    env.close()


def test_engines_that_fail_again_and_again_end_the_run() -> None:
    env = TwoColorsEnv(patience=1.0)
    env.reset(seed=1)
    for _ in range(2):
        break_engine(env, signal.SIGKILL)
        env.step(np.int64(FORWARD))
        env.reset()
    break_engine(env, signal.SIGKILL)
    with pytest.raises(MemUPError, match="3 times in turn"):
        env.step(np.int64(FORWARD))
    env.close()


def test_the_collector_leaves_out_the_episode_of_an_engine_that_died() -> None:
    env = SyncVectorEnv([partial(TwoColorsEnv, timeout=80)] * 2)
    whole = list(collect(env, random_policy, 4, seed=0))
    broken: list[bool] = []

    def policy(observations: Any, action_space: gymnasium.Space[Any]) -> Any:
        if not broken:
            broken.append(True)
            break_engine(env.envs[0], signal.SIGKILL)  # type: ignore[arg-type]
        return action_space.sample()

    with pytest.warns(UserWarning, match="discarded 1 episode, and"):
        found = list(collect(env, policy, 4, seed=0))
    env.close()
    assert [len(e.arrays["reward"]) for e in found] == [len(e.arrays["reward"]) for e in whole] == [20] * 4


def test_an_engine_that_hangs_holds_up_the_others_no_longer_than_patience(caplog: pytest.LogCaptureFixture) -> None:
    env = TwoColorsVectorEnv(3, threads=2, patience=1.0)
    env.reset(seed=0)
    hung = env.envs[1]
    assert isinstance(hung, TwoColorsEnv)
    break_engine(hung, signal.SIGSTOP)
    began = time.monotonic()
    _, _, terminated, truncated, infos = env.step(np.zeros(3, np.int64))
    assert time.monotonic() - began < 5
    assert infos["discarded"].tolist() == truncated.tolist() == [False, True, False]
    assert not terminated.any()
    _, _, _, truncated, infos = env.step(np.zeros(3, np.int64))  # the episode is played again in a new engine
    assert not truncated.any()
    assert infos["tic"][1] < infos["tic"][0] == infos["tic"][2]
    env.close()


def test_a_worker_that_is_killed_ends_the_run_with_an_error() -> None:
    env = AsyncVectorEnv([partial(TwoColorsEnv, timeout=400)] * 2)
    env.reset(seed=0)
    env.step(np.zeros(2, np.int64))
    os.kill(env.processes[1].pid, signal.SIGKILL)
    with pytest.raises((EOFError, ConnectionError)):
        env.step(np.zeros(2, np.int64))
    env.close(terminate=True)
