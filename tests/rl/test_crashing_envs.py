"""Environments that crash, pay no number or outlive their trainer end a run in an error and not in a wait."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import Any

import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.vector_envs import make_vector_env
from tests.rl.watched_agents import Counting, Seer, counting


class Crashing(Counting):
    """Kills its process, or hangs, at the second step."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def step(self, action: Any) -> Any:
        if self.count == 1 and self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == 1 and self.how == "hang":
            time.sleep(60)
        if self.count == 1 and self.how == "raise":
            raise ZeroDivisionError("in the environment")
        return super().step(action)


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("kill", MemUPError, r"process of environment 1 \(exit code -9\) died.*last checkpoint with ckpt_path"),
        ("hang", MemUPError, "did not answer within 1 seconds"),
        ("raise", MemUPError, "ZeroDivisionError: in the environment"),
    ],
)
def test_a_crashed_environment_process_ends_in_an_error_not_in_a_wait(how: str, kind: Any, message: str) -> None:
    from memup_lightning.datamodules.agent_task import agent_task

    env = AsyncVectorEnv([Counting, partial(Crashing, how)])
    player = RolloutCollector(
        env,
        agent_task(Counting.observation_space, Counting.action_space, "Counting"),
        1,
        timeout=1 if how == "hang" else 30,
    )
    with pytest.raises(kind, match=message):
        player.collect(Seer(), 5)
    env.close()


def test_processes_of_environments_end_when_asked_whatever_the_trainer_does_at_sigterm() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # like Lightning, which only notes that it came
    try:
        env = make_vector_env("memup/TMaze-v0", 2, {"length": 5}, vectorization="async")
        assert callable(signal.getsignal(signal.SIGTERM)), "the trainer's own handler is there again"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert isinstance(env, AsyncVectorEnv)
    env.closed = True  # its processes are ended here
    for process in env.processes:
        process.terminate()
    for process in env.processes:
        process.join(20)
    codes = [process.exitcode for process in env.processes]
    for process in env.processes:
        process.kill()
    assert codes == [-signal.SIGTERM] * 2


def test_a_reward_that_is_no_number_is_refused() -> None:
    class NaN(Counting):
        def step(self, action: Any) -> Any:
            return *super().step(action)[:1], float("nan"), False, False, {}

    player = counting(AutoresetMode.NEXT_STEP, (3, False))
    player.driver.env = SyncVectorEnv([NaN])
    player.driver.env.reset()
    with pytest.raises(MemUPError, match=r"environment 0 gave nan at step 0 of its episode \(field reward\)"):
        player.collect(Seer(), 2)
