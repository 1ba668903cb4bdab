"""What does the library cost? Updates per second of `fit` against a bare PyTorch loop that does the same arithmetic.

    python -m benchmarks.overhead [--quick] [--json PATH]

The bare loop is plain torch: nn.LSTM, nn.Linear, Adam, no Lightning and none of our classes, on tensors that were made
before the clock starts. `fit` is the shipped conf/tmaze.yaml with its callbacks and loggers; the clock stands still in
evaluation and in target refreshes (whose own share is the last column), and runs for all else: reading and making data,
joining targets, hooks, logging. Both run in this process, in turn; the medians of several turns are compared.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from typing import Any

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.report import Row, arguments, publish
from benchmarks.runs import fit
from datamodules import TMazeDataModule


class Stopwatch(Callback):
    """Seconds of the updates from ``first`` to ``last``, evaluation and refreshes left out."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.seconds = 0.0
        self._began: float | None = None

    def _pause(self) -> None:
        if self._began is not None:
            self.seconds += time.perf_counter() - self._began
            self._began = None

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if self._began is None and self.first <= trainer.global_step < self.last:
            self._began = time.perf_counter()
            self._refreshed = _refresh_seconds(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self._began is not None and (refreshed := _refresh_seconds(trainer)) != self._refreshed:
            self.seconds -= refreshed - self._refreshed
            self._refreshed = refreshed
        if trainer.global_step >= self.last:
            self._pause()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause()


def _refresh_seconds(trainer: Trainer) -> float:
    return sum(getattr(callback, "seconds", 0.0) for callback in trainer.callbacks if hasattr(callback, "refresh"))


def bare_loop(data: TMazeDataModule, updates: int, hidden: int, lr: float) -> float:
    """Seconds of the same arithmetic in plain torch."""
    batches = []
    for chunk in data.train_dataloader().stream.read(np.arange(200)):
        chunk = data.join("train", chunk)
        assert chunk.targets is not None
        assert chunk.probes is not None
        batches.append(
            (
                *chunk.inputs.values(),
                chunk.is_first,
                chunk.valid,
                chunk.start,
                *(
                    (s.context["observation"], s.context["action"], s.outcome, s.valid)
                    for s in (chunk.targets, chunk.probes)
                ),
                chunk.targets.position,
            )
        )
    lstm = nn.LSTM(6, hidden, batch_first=True)
    context, memory, head = nn.Linear(5, 128), nn.Linear(hidden, 64), nn.Linear(64, 2)
    local = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    modules = nn.ModuleList([lstm, context, memory, head, local])
    optimizer = torch.optim.Adam(modules.parameters(), lr=lr)
    h = c = torch.zeros(1, data.lanes, hidden)
    eye = torch.eye(3)[:, 1:]

    def nll(params: Tensor, y: Tensor) -> Tensor:
        std = F.softplus(params[..., 1]) + 0.1
        return 0.5 * ((y - params[..., 0]) / std).square() + std.log() + 0.919

    def mean(loss: Tensor, counts: Tensor) -> Tensor:
        return loss.where(counts, 0).sum() / counts.sum().clamp(min=1)

    begin = time.perf_counter()
    for update in range(updates):
        obs, action, reward, first, valid, start, target, probe, position = batches[update % len(batches)]
        x = torch.cat([obs, F.embedding(action.long() + 1, eye), reward.unsqueeze(-1)], -1)
        keep = first.view(1, -1, 1)
        out, (h, c) = lstm(x, (h.masked_fill(keep, 0), c.masked_fill(keep, 0)))
        h, c = h.detach(), c.detach()
        t_obs, t_action, t_outcome, t_valid = target
        features = torch.cat([t_obs, F.embedding(t_action.long() + 1, eye)], -1).flatten(-2)
        shift, gate = context(features)[:, None].chunk(2, -1)
        params = head(torch.relu(torch.addcmul(shift, gate, memory(out)[:, :, None])))
        now = start[:, None] + torch.arange(out.shape[1])
        counts = valid[:, :, None] & t_valid[:, None] & (position[:, None] >= now[:, :, None])
        loss = mean(nll(params, t_outcome[:, None]), counts)
        p_obs, p_action, p_outcome, p_valid = probe
        features = torch.cat([p_obs, F.embedding(p_action.long() + 1, eye)], -1).flatten(-2)
        loss = loss + mean(nll(local(features), p_outcome), p_valid)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - begin


def measure(chunk_length: int, updates: int, turns: int) -> Row:
    ours, bare, shares = [], [], []
    for turn in range(turns):
        warm = updates // 2
        watch = Stopwatch(warm, warm + updates)
        with tempfile.TemporaryDirectory() as folder:
            # No evaluation: it would end the run when the maze is solved.
            long = "--trainer.val_check_interval=1000000"
            cli = fit("conf/tmaze.yaml", folder, 1 + turn, warm + updates, [watch], [long], chunk_length=chunk_length)
        ours.append(updates / watch.seconds)
        shares.append(float(cli.trainer.callback_metrics["refresh/share_of_training"]))
        data: TMazeDataModule = cli.datamodule
        bare.append(updates / bare_loop(data, updates, hidden=64, lr=2e-3))
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    return {
        "chunk_length": chunk_length,
        "fit": statistics.median(ours),
        "bare": statistics.median(bare),
        "ratio": ratio,
        "refresh_share": statistics.median(shares),
        "turns": [{"fit": a, "bare": b} for a, b in zip(ours, bare, strict=True)],
    }


def main() -> None:
    options = arguments(__doc__).parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    updates, turns = (300, 1) if options.quick else (1500, 5)
    rows = [measure(r, updates, turns) for r in (10, 1)]
    number = "{:.0f}".format
    share = "{:.2f}".format
    columns = {"chunk_length": str, "fit": number, "bare": number, "ratio": share, "refresh_share": share}
    publish("updates per second: fit (conf/tmaze.yaml) against a bare PyTorch loop", rows, options, columns)


if __name__ == "__main__":
    main()
