"""What do target refreshes cost? Their share of training, by the length and number of episodes.

    python -m benchmarks.refresh [--quick] [--json PATH]

Every row is `fit` on conf/tmaze.yaml without evaluation, for 1,600 updates. `first` are the seconds of the first refresh,
`later` those of a later one, `interval` those of the 500 updates between two of them; medians, in seconds of the processor
in this process, which other work on the machine stretches less than seconds on the clock. `later_share` is what a long run
comes to; `share` is of the 1,600 updates, the first refresh included.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from benchmarks.report import Row, arguments, publish
from benchmarks.runs import fit
from memup_lightning.callbacks import TargetRefresh
from memup_lightning.runs.parts import find_callback

UPDATES, QUICK_UPDATES = 1600, 1100
SIZES = ((1_000, 100), (100_000, 100), (10_000, 1_000), (1_000, 10_000))
QUICK_SIZES = ((1_000, 100), (10_000, 100))


class RefreshTimes(Callback):
    """Callback that notes the seconds of each refresh, and when it ended."""

    def __init__(self) -> None:
        self.began = self.total = 0.0
        self.seconds: list[float] = []
        self.ends: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        callback: Any = find_callback(trainer, TargetRefresh)
        refresh = callback.refresh

        def timed(*args: Any) -> None:
            begin = time.process_time()
            refresh(*args)
            self.ends.append(time.process_time())
            self.seconds.append(self.ends[-1] - begin)

        callback.refresh = timed
        self.began = time.process_time()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.total = time.process_time() - self.began


def measure(length: int, episodes: int, updates: int) -> Row:
    """Run ``fit`` with so many episodes."""
    times = RefreshTimes()
    options = ["--trainer.val_check_interval=1000000"]  # an evaluation would end the run when the maze is solved
    with tempfile.TemporaryDirectory() as folder:
        fit("conf/tmaze.yaml", folder, 1, updates, [times], options, length=length, num_train=episodes)
    later = statistics.median(times.seconds[1:])
    # The first refresh is followed by fewer updates than the others.
    spans = [end - start - x for start, end, x in zip(times.ends[1:], times.ends[2:], times.seconds[2:], strict=False)]
    interval = statistics.median(spans)
    return {
        "length": length,
        "episodes": episodes,
        "first": times.seconds[0],
        "later": later,
        "interval": interval,
        "later_share": later / (later + interval),
        "share": sum(times.seconds) / times.total,
    }


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads or 1)
    rows = []
    for length, episodes in QUICK_SIZES if options.quick else SIZES:
        rows.append(measure(length, episodes, QUICK_UPDATES if options.quick else UPDATES))
        print(rows[-1], flush=True)
    columns = "length, episodes, first, later, interval, later_share, share"
    publish("seconds and share of target refreshes (conf/tmaze.yaml)", rows, options, columns)


if __name__ == "__main__":
    main()
