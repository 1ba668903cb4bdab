"""What does an accelerator bring? Updates per second of `fit` on the CPU and on a GPU, small as shipped and larger.

    python -m benchmarks.accelerator [--quick] [--json PATH]

Every row is `fit` on a shipped config, the first few updates and all evaluations left out; the clock runs for reading and
making data, joining and moving them, the step and its hooks. `large` is what an accelerator is for: more lanes, longer
chunks, wider networks, chunks read ahead by worker processes. Memory is what torch's allocator held on the device at most.
Without a GPU the rows of the CPU remain.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from benchmarks.report import Row, arguments, publish, write_json
from benchmarks.runs import fit
from benchmarks.tasks import CORE, DATA, MODEL

TITLE = "updates and steps (lanes x chunk length) per second of `fit`"
TURN = 20  # updates between two looks at the clock, for which the device must be waited for


class Setting(NamedTuple):
    """What is trained.

    Attributes:
        name: of the row.
        config: its file.
        overrides: more arguments of `fit`.
        updates: measured on a GPU.
        on_cpu: measured on the CPU.
    """

    name: str
    config: str
    overrides: Sequence[str]
    updates: int
    on_cpu: int


LARGE = [
    f"{DATA}.lanes=1024",
    f"{DATA}.chunk_length=50",
    f"{DATA}.num_train=4096",
    f"{DATA}.num_workers=4",
    f"{MODEL}.predict_every=10",
    f"{CORE}.hidden_size=512",
]
SETTINGS = [
    Setting("maze, as shipped (64 lanes x 10, LSTM-64)", "conf/tmaze.yaml", [], 600, 600),
    Setting("copy, as shipped (64 lanes x 20, LSTM-128)", "conf/copy_120.yaml", [], 400, 200),
    Setting("maze, large (1,024 x 50, LSTM-512)", "conf/tmaze.yaml", LARGE, 100, 3),
]


class Clock(Callback):
    """Updates per second, from update ``after`` on.

    Attributes:
        rates: of each turn.
    """

    def __init__(self, after: int, turn: int) -> None:
        self.after, self.turn = after, turn
        self.rates: list[float] = []
        self._began = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        done = trainer.global_step - self.after
        if done < 0 or done % self.turn:
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if done:
            self.rates.append(self.turn / (now - self._began))
        self._began = now


def measure(setting: Setting, accelerator: str, precision: str, updates: int) -> Row:
    turn = min(TURN, updates)
    after = min(20, updates)
    clock = Clock(after, turn)
    never = "--trainer.val_check_interval=1000000"  # an evaluation would end the run when the maze is solved
    unlogged = "--trainer.log_every_n_steps=100"
    options = [f"--trainer.accelerator={accelerator}", f"--trainer.precision={precision}", never, unlogged]
    if accelerator == "gpu":
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        cli = fit(setting.config, folder, 1, after + updates + 1, [clock], [*setting.overrides, *options])
    data = cli.datamodule
    rate = statistics.median(clock.rates)
    return {
        "setting": setting.name,
        "device": torch.cuda.get_device_name() if accelerator == "gpu" else f"CPU, {torch.get_num_threads()} threads",
        "precision": precision,
        "updates_per_s": rate,
        "steps_per_s": rate * data.lanes * data.chunk_length,
        "device_mb": torch.cuda.max_memory_allocated() / 2**20 if accelerator == "gpu" else None,
        "rates": clock.rates,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(seeds=[1])
    options = parser.parse_args()
    rows = []
    for setting in SETTINGS[:1] if options.quick else SETTINGS:
        ways = [("cpu", "32-true", setting.on_cpu)]
        if torch.cuda.is_available():
            ways += [("gpu", precision, setting.updates) for precision in ("32-true", "bf16-mixed")]
        for accelerator, precision, updates in ways:
            threads = f"--num_threads={options.threads}" if options.threads else "--num_threads=null"
            given = setting._replace(overrides=[*setting.overrides, threads])
            rows.append(measure(given, accelerator, precision, 40 if options.quick else updates))
            write_json(TITLE, rows, options)
            print(rows[-1]["setting"], rows[-1]["device"], precision, f"{rows[-1]['updates_per_s']:.1f}", flush=True)
    columns = "setting, device, precision, updates_per_s, steps_per_s, device_mb"
    publish(TITLE, rows, options, columns)


if __name__ == "__main__":
    main()
