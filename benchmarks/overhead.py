"""What does the library cost? Updates per second of `fit` against a bare PyTorch loop that does the same arithmetic.

    python -m benchmarks.overhead [--quick] [--json PATH]

The bare loop is plain torch: nn.LSTM, nn.Linear, Adam, no Lightning and none of our classes, on tensors that were made
before the clock starts. `fit` is the shipped conf/tmaze.yaml with its callbacks and loggers; the clock runs for reading
and making data, joining targets, hooks and logging. Left out are evaluation and target refreshes, whose own share is
the last column.

The bare loop comes twice: `bare` calls `torch.optim.Adam(parameters, lr)`, as one writes it; `fused_bare` calls it with
`fused=True`, as the config does. The arithmetic is the same, in a sixth of the kernels.

They take turns of 100 updates inside one run, and ratios are medians over neighbouring turns, so that other work on the
machine hits all of them. `ratio` and `fused_ratio` compare seconds on the clock, `cpu_ratio` and `fused_cpu_ratio`
seconds of the processor in this process, which other work stretches less.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from typing import Any, NamedTuple

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.report import Row, arguments, publish
from benchmarks.runs import fit
from memup_lightning.chunk import StepBatch
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.runs.parts import parts

TURN = 100  # updates


Steps = tuple[Tensor, Tensor, Tensor, Tensor]  # observation, action, outcome, valid


class Batch(NamedTuple):
    """The tensors of one update."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    is_first: Tensor
    valid: Tensor
    start: Tensor
    targets: Steps
    probes: Steps
    position: Tensor


def steps_of(batch: StepBatch) -> Steps:
    return batch.context["observation"], batch.context["action"], batch.outcome, batch.valid


class BareLoop:
    """The same arithmetic in plain torch, on the chunks of ``batches`` updates over and over; with arguments of Adam."""

    def __init__(self, data: TMazeDataModule, batches: int, hidden: int, **adam: Any) -> None:
        self.batches: list[Batch] = []
        for chunk in data.training_stream.read(np.arange(batches)):
            chunk = data.join("train", chunk)
            assert chunk.targets is not None
            assert chunk.probes is not None
            self.batches.append(
                Batch(
                    chunk.inputs["observation"],
                    chunk.inputs["action"],
                    chunk.inputs["reward"],
                    chunk.is_first,
                    chunk.valid,
                    chunk.start,
                    steps_of(chunk.targets),
                    steps_of(chunk.probes),
                    chunk.targets.position,
                )
            )
        self.lstm = nn.LSTM(6, hidden, batch_first=True)
        self.context, self.memory, self.head = nn.Linear(5, 128), nn.Linear(hidden, 64), nn.Linear(64, 2)
        self.local = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
        modules = nn.ModuleList([self.lstm, self.context, self.memory, self.head, self.local])
        self.optimizer = torch.optim.Adam(modules.parameters(), **adam)
        self.h = self.c = torch.zeros(1, data.lanes, hidden)
        self.updates = 0

    def __call__(self, updates: int) -> None:
        """Do so many updates."""
        eye = torch.eye(3)[:, 1:]

        def nll(params: Tensor, y: Tensor) -> Tensor:
            std = F.softplus(params[..., 1]) + 0.1
            return 0.5 * ((y - params[..., 0]) / std).square() + std.log() + 0.919

        def mean(loss: Tensor, counts: Tensor) -> Tensor:
            return loss.where(counts, 0).sum() / counts.sum().clamp(min=1)

        for update in range(self.updates, self.updates + updates):
            obs, action, reward, first, valid, start, target, probe, position = self.batches[update % len(self.batches)]
            x = torch.cat([obs, F.embedding(action.long() + 1, eye), reward.unsqueeze(-1)], -1)
            keep = first.view(1, -1, 1)
            out, (h, c) = self.lstm(x, (self.h.masked_fill(keep, 0), self.c.masked_fill(keep, 0)))
            self.h, self.c = h.detach(), c.detach()
            t_obs, t_action, t_outcome, t_valid = target
            features = torch.cat([t_obs, F.embedding(t_action.long() + 1, eye)], -1).flatten(-2)
            shift, gate = self.context(features)[:, None].chunk(2, -1)
            params = self.head(torch.relu(torch.addcmul(shift, gate, self.memory(out)[:, :, None])))
            now = start[:, None] + torch.arange(out.shape[1])
            counts = valid[:, :, None] & t_valid[:, None] & (position[:, None] >= now[:, :, None])
            loss = mean(nll(params, t_outcome[:, None]), counts)
            p_obs, p_action, p_outcome, p_valid = probe
            features = torch.cat([p_obs, F.embedding(p_action.long() + 1, eye)], -1).flatten(-2)
            loss = loss + mean(nll(self.local(features), p_outcome), p_valid)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.updates += updates


class Seconds(NamedTuple):
    """On the clock, and of the processor in this process."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Seconds:
        return cls(time.perf_counter(), time.process_time())

    def since(self, begin: Seconds) -> Seconds:
        return Seconds(self.wall - begin.wall, self.cpu - begin.cpu)


class Turns(Callback):
    """Stops `fit` every :data:`TURN` updates, from update ``first`` on, for as many of each bare loop.

    Attributes:
        seconds: of every turn, by who did it; turns of `fit` with a target refresh are left out, and
            those in the same round.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.seconds: dict[str, list[Seconds]] = {"fit": [], "bare": [], "fused_bare": []}
        self._bare: dict[str, BareLoop] = {}
        self._began: Seconds | None = None
        self._refreshed = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step < self.first or trainer.global_step % TURN:
            return
        ours = None if self._began is None else Seconds.now().since(self._began)
        if not self._bare:
            data = parts(trainer).datamodule
            self._bare["bare"] = BareLoop(data, 2 * TURN, hidden=64, lr=2e-3)
            self._bare["fused_bare"] = BareLoop(data, 2 * TURN, hidden=64, lr=2e-3, fused=True)
        turn = {name: timed(loop) for name, loop in self._bare.items()}
        refreshed = refresh_seconds(trainer)
        if ours is not None and refreshed == self._refreshed:
            for name, seconds in {"fit": ours, **turn}.items():
                self.seconds[name].append(seconds)
        self._refreshed = refreshed
        self._began = Seconds.now()


def timed(loop: BareLoop) -> Seconds:
    """Of one turn."""
    begin = Seconds.now()
    loop(TURN)
    return Seconds.now().since(begin)


def refresh_seconds(trainer: Trainer) -> float:
    """Seconds that target refreshes took so far."""
    callbacks: list[Any] = list(parts(trainer).callbacks)
    return sum(float(callback.seconds) for callback in callbacks if hasattr(callback, "refresh"))


def measure(chunk_length: int, updates: int) -> Row:
    turns = Turns(first=500)
    with tempfile.TemporaryDirectory() as folder:
        # No evaluation: it would end the run when the maze is solved.
        long = "--trainer.val_check_interval=1000000"
        steps = turns.first + updates + 1
        cli = fit("conf/tmaze.yaml", folder, 1, steps, [turns], [long], chunk_length=chunk_length)
    ours = turns.seconds["fit"]
    row: Row = {"chunk_length": chunk_length}
    row |= {name: TURN / statistics.median(x.wall for x in seconds) for name, seconds in turns.seconds.items()}
    for name, bare in (("", turns.seconds["bare"]), ("fused_", turns.seconds["fused_bare"])):
        row[f"{name}ratio"] = statistics.median(b.wall / a.wall for a, b in zip(ours, bare, strict=True))
        row[f"{name}cpu_ratio"] = statistics.median(b.cpu / a.cpu for a, b in zip(ours, bare, strict=True))
    row["refresh_share"] = float(cli.trainer.callback_metrics["refresh/share_of_training"])
    row["turns"] = {name: [seconds._asdict() for seconds in of_one] for name, of_one in turns.seconds.items()}
    return row


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads or 1)
    rows = [measure(r, 1000 if options.quick else 3000) for r in (10, 1)]
    columns = "chunk_length, fit, bare, fused_bare, ratio, cpu_ratio, fused_ratio, fused_cpu_ratio, refresh_share"
    title = "updates per second: fit (conf/tmaze.yaml) against a bare PyTorch loop"
    publish(title, rows, options, columns)


if __name__ == "__main__":
    main()
