"""How long does a command take to begin? Seconds from the command to its first update, or to its end.

    python -m benchmarks.start [--quick] [--json PATH]

Every turn is a process of its own, with one thread; commands take turns, and the figures are medians. `import torch` and
`import pytorch_lightning` are what every run pays that uses them. `ratio` is in imports of Lightning, taken in the same
turn, so that another load of the machine changes it little.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Row, arguments, publish

CONFIG = Path("conf/tmaze.yaml").absolute()
MEMUP = ["-m", "memup_lightning"]
LIGHTNING = "import pytorch_lightning"
COMMANDS = {
    "import torch": ["-c", "import torch"],
    LIGHTNING: ["-c", LIGHTNING],
    "import memup_lightning": ["-c", "import memup_lightning"],
    "memup --version": [*MEMUP, "--version"],
    "memup --help": [*MEMUP, "--help"],
    "memup configs": [*MEMUP, "configs"],
    "memup fit --help": [*MEMUP, "fit", "--help"],
    "memup fit --config conf/tmaze.yaml, to the first update": [
        *(*MEMUP, "fit", f"--config={CONFIG}"),
        "--trainer.callbacks+=benchmarks.first_update.FirstUpdate",
    ],
}
TURNS = 5


def seconds(command: list[str]) -> float:
    """Return the seconds of a command, run in a folder of its own."""
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    with tempfile.TemporaryDirectory() as folder:
        begin = time.time()
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        end = time.time()
    stamp = re.search(r"first update at ([\d.]+)", done.stdout)
    return (float(stamp[1]) if stamp else end) - begin


def main() -> None:
    options = arguments(__doc__).parse_args()
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(1 if options.quick else TURNS):
        for name, command in COMMANDS.items():
            found[name].append(seconds(command))
    rows: list[Row] = []
    for name, turns in found.items():
        ratio = statistics.median(x / unit for x, unit in zip(turns, found[LIGHTNING], strict=True))
        rows.append({"command": name, "seconds": statistics.median(turns), "ratio": ratio, "turns": turns})
    columns = "command, seconds, ratio"
    publish("seconds from a command to its first update or its end", rows, options, columns)


if __name__ == "__main__":
    main()
