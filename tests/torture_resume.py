"""Kills a training run again and again, and looks whether it ends as if nothing had happened.

    python -m tests.torture_resume [--kills 20] [--workers 2] [--seed 0]

Every life is the same command, ``fit --ckpt_path last``, killed (SIGKILL, with its workers) at a random moment: while
it starts, in the middle of an epoch, of a refresh, of an evaluation, of writing a checkpoint. After some kills the
newest checkpoint is torn as well, as by a power cut: cut off, or with a hole of zeros. The life that is let finish must
leave the weights, optimiser, lanes' states, targets, random numbers and early-stopping counts of a run that was never
killed, bit for bit.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from memup_lightning.cli.main import main
from memup_lightning.runs.checkpoints.lookup import KEPT_WEIGHTS
from tests.command_line import tiny
from tests.processes import ForkedProcess

EVERY = 10  # updates between two checkpoints
LIMIT = 120  # seconds that a life may take
COMPARED = ("state_dict", "optimizer_states", "lanes", "torch_rng", "TMazeDataModule")


def config(folder: Path, updates: int, workers: int) -> dict[str, Any]:
    """Epochs, refreshes, evaluations and checkpoints that learning_progress together and apart."""
    given = tiny(folder)
    given["num_threads"] = 1
    given["trainer"] |= {"max_steps": updates, "val_check_interval": 3 * EVERY}
    given["trainer"]["callbacks"] = [
        {"class_path": "TargetRefresh", "init_args": {"every": 15, "settle": 5, "max_wait": 10, "max_steps": 400}},
        {"class_path": "EarlyStopping", "init_args": {"monitor": "val/nll", "patience": 10**6}},
        {
            "class_path": "ModelCheckpoint",
            "init_args": {
                "every_n_train_steps": EVERY,
                "monitor": "step",
                "mode": "max",
                "save_top_k": 2,
                "filename": "{step}",
            },
        },
    ]
    dropout = {"module": "torch.nn.LSTM", "module_args": {"hidden_size": 8, "num_layers": 2, "dropout": 0.2}}
    given["model"]["init_args"]["memory"] = {"class_path": "RNNAdapter", "init_args": dropout}
    given["data"]["init_args"] = {
        "length": 20,
        "lanes": 8,
        "num_train": 37,
        "num_val": 13,
        "chunk_length": 5,
        "chunks_per_epoch": 35,
        "num_workers": workers,
    }
    return given


@dataclass
class Tortured:
    """One run of many lives.

    Attributes:
        folder: its runs and logs lie here.
        kills: what was done to it, one line each.
    """

    folder: Path
    updates: int
    kills: list[str] = field(default_factory=list)
    lives: int = 0

    def start(self) -> ForkedProcess:
        self.lives += 1
        with (self.folder / f"life_{self.lives}.log").open("wb") as log:
            command = ["memup_lightning", "fit", "--config=config.yaml", "--ckpt_path=last"]
            clean = {key: x for key, x in os.environ.items() if not key.startswith("WANDB")}
            return ForkedProcess(command, self.folder, clean | {"OMP_NUM_THREADS": "1"}, log.fileno())

    def checkpoints(self) -> list[Path]:
        """The newest first."""
        found = [path for path in self.folder.rglob("*.ckpt") if path.name != KEPT_WEIGHTS]
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)

    def live_here(self) -> None:
        """One life that nothing kills, in this process, whose sets have another order than those of the others."""
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(io.StringIO()):
            main(["fit", "--config=config.yaml", "--ckpt_path=last"])

    def live(self, death: float | None, in_training: bool) -> bool:
        """One life.

        Args:
            death: seconds until it is killed; None: it is let finish.
            in_training: whether the seconds count from the begin of training, or from that of the process.

        Returns:
            Whether it finished.
        """
        configs = len(list(self.folder.rglob("version_*/config.yaml")))
        process = self.start()
        limit = time.monotonic() + LIMIT
        if in_training:
            while process.poll() is None and len(list(self.folder.rglob("version_*/config.yaml"))) == configs:
                time.sleep(0.005)
                assert time.monotonic() < limit, self.log()
        try:
            process.wait(timeout=LIMIT if death is None else death)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert death is not None, f"hangs: {self.log()}"
            return False
        assert process.returncode == 0, self.log()
        return True

    def log(self) -> str:
        return (self.folder / f"life_{self.lives}.log").read_text()

    def result(self) -> dict[str, Any]:
        """What the run has come to."""
        newest = self.checkpoints()[0]
        state: dict[str, Any] = torch.load(newest, weights_only=True)
        assert state["global_step"] == self.updates, f"{newest}: ended at update {state['global_step']}"
        stopping = next(x for name, x in state["callbacks"].items() if name.startswith("EarlyStopping"))
        return {name: state[name] for name in COMPARED} | {"early stopping": stopping}


def tear(path: Path, rng: random.Random) -> str:
    """Damage a file as a power cut does."""
    size = path.stat().st_size
    if rng.random() < 0.5:
        left = rng.randrange(size)
        os.truncate(path, left)
        return f"cut off at byte {left:,} of {size:,}"
    hole = min(4096, size // 4)
    at = rng.randrange(size - hole)
    with path.open("r+b") as file:
        before = file.read()[at : at + hole]
        file.seek(at)
        file.write(bytes(hole) if any(before) else b"\1" * hole)
    return f"{hole:,} bytes at {at:,} of {size:,} lost"


def torture(folder: Path, kills: int, updates: int, workers: int = 2, seed: int = 0, tears: float = 0.3) -> list[str]:
    """Kill a run at random moments until it has been killed often enough, then compare.

    Args:
        folder: an empty folder.
        kills: how often; where a run finishes before, another begins.
        updates: of a run.
        workers: that read ahead.
        seed: the moments follow from it, as far as the machine's speed lets them.
        tears: share of the kills after which the newest checkpoint is torn too.

    Returns:
        One line a kill.
    """
    rng = random.Random(seed)
    text = yaml.safe_dump(config(folder, updates, workers))
    whole = Tortured(folder / "whole", updates)
    said: list[str] = []
    _begin(whole, text)
    begin = time.monotonic()
    whole.live_here()
    training = time.monotonic() - begin
    expected = whole.result()
    span = training / 3
    number = 0
    while len(said) < kills:
        number += 1
        run = Tortured(folder / f"killed_{number}", updates)
        _begin(run, text)
        finished = False
        while not finished:
            in_training = rng.random() < 0.85
            death = rng.uniform(0, span if in_training else training) if len(said) < kills else None
            finished = run.live(death, in_training)
            if finished:
                continue
            left = run.checkpoints()
            line = f"run {number}, life {run.lives}: killed {death:.2f} s after "
            line += "training began" if in_training else "the process began"
            line += f", newest checkpoint {left[0].relative_to(run.folder / 'runs')}" if left else ", no checkpoint yet"
            if len(left) > 1 and rng.random() < tears:
                line += f", {tear(left[0], rng)}"
            said.append(line)
            print(line, flush=True)
        different = differences(expected, run.result())
        assert not different, f"after {run.lives - 1} kills these differ: {different}; see {run.folder}"
        print(f"run {number}: {run.lives - 1} kills, bit for bit the same as the run that was never killed", flush=True)
    return said


def _begin(run: Tortured, text: str) -> None:
    run.folder.mkdir(parents=True)
    given = yaml.safe_load(text)
    given["trainer"]["logger"]["init_args"]["save_dir"] = "runs"
    (run.folder / "config.yaml").write_text(yaml.safe_dump(given))


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two nested states are not equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [path]
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        return [line for key in one for line in differences(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list | tuple):
        assert len(one) == len(other), path
        return [
            line for n, (a, b) in enumerate(zip(one, other, strict=True)) for line in differences(a, b, f"{path}.{n}")
        ]
    return [] if one == other else [path]


def torture_as_asked() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torture(Path(folder), given.kills, given.updates, given.workers, given.seed)
    print(f"{given.kills} kills: passed")


if __name__ == "__main__":
    torture_as_asked()
