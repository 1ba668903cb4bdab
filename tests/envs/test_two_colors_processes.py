"""A Python that plays Two-Colors ends or is killed, and a worker of one: no engine remains, and no files."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.command_line import ROOT
from tests.envs.engines import LIMIT, alive, engines, until
from tests.processes import ForkedProcess

pytest.importorskip("vizdoom")

from memup_lightning.envs.two_colors.engine import remove_stale_files

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="what is promised here is Linux's to keep"),
    pytest.mark.usefixtures("no_engine_left"),
]


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


def test_a_python_that_is_killed_while_its_engine_starts_leaves_what_the_next_start_removes(tmp_path: Path) -> None:
    program = "from memup_lightning.envs.two_colors.env import TwoColorsEnv; TwoColorsEnv().reset(seed=0)"
    with ForkedProcess(["-c", program], Path.cwd(), dict(os.environ)) as process:
        assert until(lambda: list((tmp_path / "temporary").glob("memup-doom-*/engine")))
        process.kill()
    assert list((tmp_path / "temporary").glob("memup-doom-*"))
    remove_stale_files()  # what every start does first


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
