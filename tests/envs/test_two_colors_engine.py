"""ViZDoom's engine dies, hangs, or loses its Python: the run continues or ends with an error, and no files remain."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from memup_lightning.envs.policies import random_policy
from memup_lightning.envs.two_colors.rules import FORWARD, LEFT
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors.episodes import collect
from tests.command_line import ROOT
from tests.processes import ForkedProcess

pytest.importorskip("vizdoom")

from memup_lightning.envs.two_colors.engine import remove_stale_files
from memup_lightning.envs.two_colors.env import TwoColorsEnv
from memup_lightning.envs.two_colors.vector_env import TwoColorsVectorEnv

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is promised here is Linux's to keep")
LIMIT = 30.0  # seconds until something that must happen counts as not happening


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder and a folder for temporary files of the test's own; at its end both are empty, and no engine of
    the test is left, nor its shared memory."""
    for folder in ("work", "temporary"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = shared()
    yield
    assert until(lambda: not engines(tmp_path)), "an engine is left"
    assert until(lambda: shared() <= before), "shared memory is left"  # another's engine may be starting just now
    assert list((tmp_path / "work").iterdir()) == []
    assert list((tmp_path / "temporary").glob("memup-doom-*")) == []


def shared() -> set[str]:
    """Names of ViZDoom's shared memory; those of other programs come and go."""
    return {path.name for path in Path("/dev/shm").glob("ViZDoom*") if path.stat().st_uid == os.getuid()}


def engines(folder: Path) -> list[psutil.Process]:
    """The engines whose scenario lay under a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it may end at any line
            command = process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
            if "+viz_instance_id" in command and any(str(folder) in part for part in command):
                found.append(process)
    return found


def until(true: Callable[[], Any]) -> bool:
    """Wait for something; False if it does not come."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


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


END = {
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
    "terminate": "os.kill(os.getpid(), signal.SIGTERM)",
    "exception": "raise RuntimeError",
    "exit": "sys.exit()",
    "exit of a thread": "import threading; t = threading.Thread(target=env.step, args=(np.int64(0),)); t.start(); t.join()",
}


@contextlib.contextmanager
def playing(program: str) -> Iterator[None]:
    """A Python that runs a program until it plays, and on to its end behind the block."""
    with ForkedProcess(["-c", program], Path.cwd(), dict(os.environ), errors=False) as process:
        assert process.readline() == "playing\n"
        yield
        process.communicate("x", timeout=LIMIT)  # no engine holds the output open


@pytest.mark.parametrize("end", END)
def test_nothing_is_left_however_python_ends(end: str, tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
import numpy as np
from memup_lightning.envs.two_colors.env import TwoColorsEnv
env = TwoColorsEnv()
env.reset(seed=0)
env.step(np.int64(0))
print("playing", flush=True)
sys.stdin.read(1)
{END[end]}
"""
    with playing(program):
        assert len(engines(tmp_path)) == 1
        assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("end", ["kill", "terminate", "exception", "exit"])
def test_nothing_is_left_of_engines_that_threads_have_started(end: str, tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
import numpy as np
from memup_lightning.envs.two_colors.vector_env import TwoColorsVectorEnv
env = TwoColorsVectorEnv(3, threads=3)
env.reset(seed=0)
env.step(np.zeros(3, np.int64))
print("playing", flush=True)
sys.stdin.read(1)
{END[end]}
"""
    with playing(program):
        assert len(engines(tmp_path)) == 3


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


def test_a_python_that_is_killed_while_its_engine_starts_leaves_what_the_next_start_removes(tmp_path: Path) -> None:
    program = "from memup_lightning.envs.two_colors.env import TwoColorsEnv; TwoColorsEnv().reset(seed=0)"
    with ForkedProcess(["-c", program], Path.cwd(), dict(os.environ)) as process:
        assert until(lambda: list((tmp_path / "temporary").glob("memup-doom-*/engine")))
        process.kill()
    assert list((tmp_path / "temporary").glob("memup-doom-*"))
    remove_stale_files()  # what every start does first


def test_a_worker_that_is_killed_ends_the_run_with_an_error() -> None:
    env = AsyncVectorEnv([partial(TwoColorsEnv, timeout=400)] * 2)
    env.reset(seed=0)
    env.step(np.zeros(2, np.int64))
    os.kill(env.processes[1].pid, signal.SIGKILL)
    with pytest.raises((EOFError, ConnectionError)):
        env.step(np.zeros(2, np.int64))
    env.close(terminate=True)


def test_workers_end_with_the_trainer_that_is_killed(tmp_path: Path) -> None:
    program = """
import sys
import numpy as np
from functools import partial
from gymnasium.vector import AsyncVectorEnv
from memup_lightning.envs.two_colors.env import TwoColorsEnv
if __name__ == "__main__":
    env = AsyncVectorEnv([partial(TwoColorsEnv, timeout=400)] * 2)
    env.reset(seed=0)
    print("playing", flush=True)
    while True:
        env.step(np.zeros(2, np.int64))
        if sys.argv[-1] == "waiting":
            sys.stdin.read(1)
"""
    with ForkedProcess(["-c", program, "waiting"], Path.cwd(), dict(os.environ)) as process:
        assert process.readline() == "playing\n"
        assert len(engines(tmp_path)) == 2
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate(timeout=LIMIT)  # nobody holds the output open
    assert until(lambda: not any(alive(worker) for worker in workers))


AGENT = {
    "trainer.max_steps": 6,
    "trainer.val_check_interval": 2,
    "model.init_args.memory": "null",
    "data.init_args.env_kwargs.timeout": 100,
    "data.init_args.num_envs": 2,
    "data.init_args.num_steps": 16,
    "data.init_args.update_epochs": 1,
    "data.init_args.num_minibatches": 1,
    "data.init_args.num_val": 2,
    "data.init_args.vectorization": "async",
}


def oldest(folder: Path) -> psutil.Process:
    """The engine that was started first: evaluation starts others and ends them again."""
    return min(engines(folder), key=psutil.Process.create_time)


@contextlib.contextmanager
def training(folder: Path, *options: str, **given: Any) -> Iterator[ForkedProcess]:
    """A small agent in training, in a process of its own that has a working folder of its own."""
    folder.mkdir(exist_ok=True)
    command = ["memup_lightning", "fit", f"--config={ROOT / 'conf/two_colors_ppo.yaml'}"]
    command += [f"--{name}={value}" for name, value in (AGENT | given).items()]
    with ForkedProcess([*command, *options], folder, os.environ | {"WANDB_MODE": "disabled"}) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_trainer_that_is_killed_leaves_nothing_and_resumes_and_continues_though_an_engine_dies(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    with training(run, **{"trainer.max_steps": 10_000}) as process:
        assert until(lambda: list(run.glob("runs/*/version_0/checkpoints/last.ckpt")))
        assert until(lambda: len(engines(tmp_path)) >= 2)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate(timeout=LIMIT)  # nobody holds the output open
        assert until(lambda: not any(alive(child) for child in children))
    steps = torch.load(next(run.glob("runs/*/*/checkpoints/last.ckpt")), weights_only=True)["global_step"]
    longer = {"trainer.max_steps": steps + 60, "trainer.val_check_interval": 20}
    with training(run, "--ckpt_path=last", **longer) as process:
        assert until(lambda: list(run.glob("runs/*/version_1/checkpoints/last.ckpt")))
        oldest(tmp_path).kill()  # one of those that training plays on
        said = process.communicate(timeout=2 * LIMIT)
    assert process.returncode == 0, said
    assert "in a new engine" in said
    summary = json.loads((run / "runs/two_colors_ppo/version_1/summary.json").read_text())
    assert summary["updates"] == steps + 60


def test_a_worker_of_a_run_that_is_killed_ends_it_in_a_sentence(tmp_path: Path) -> None:
    with training(tmp_path / "run", **{"trainer.max_steps": 10_000}) as process:
        assert until(lambda: list(tmp_path.glob("run/runs/*/version_0/checkpoints/last.ckpt")))
        assert until(lambda: len(engines(tmp_path)) >= 2)
        children = psutil.Process(process.pid).children(recursive=True)
        oldest(tmp_path).parent().kill()  # type: ignore[union-attr]
        said = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert "(exit code -9) died" in said
    assert "Traceback" not in said
    assert until(lambda: not any(alive(child) for child in children))


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
