"""The README's two examples of data of one's own, as they are printed there: what does the memory learn?

    python -m benchmarks.readme [--quick] [--seeds 1 2] [--json PATH]

The files and the commands are taken from README.md; each command runs in a process and a folder of its own, with the seed
in addition. `explained` is the share of the squared error (of the uncertainty, for classes) without memory that the memory
explains, on all validation episodes. With --quick each run has 500 updates.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Row, arguments, publish

TITLE = "The README's own environment and own table"
ROOT = Path(__file__).parent.parent
EXAMPLES = {
    "environment": ("warehouse.py", "class Warehouse", "--imports warehouse"),
    "table": ("logs.py", "parquet.write_table", "ArrayDataModule"),
}
"""By name: file that the code is saved as, a part of the code, and a part of the command."""


def code_block(page: str, language: str, text: str) -> str:
    """Return the one code block of a page that holds a text."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    (one,) = [part for part in found if text in part]
    return str(one)


def command_arguments(page: str, text: str) -> list[str]:
    """Return the arguments of the ``memup`` command of a page that holds a text."""
    program, *rest = shlex.split(code_block(page, "bash", text).replace("\\\n", " "))
    assert program == "memup"
    return rest


def run(example: str, seed: int, quick: bool) -> Row:
    """Save an example's file, run it where it makes data, and run its command."""
    name, code, command = EXAMPLES[example]
    options = [f"--seed_everything={seed}", *(["--trainer.max_steps=500"] if quick else [])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    env |= {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(code_block("README.md", "python", code))
        if example == "table":
            subprocess.run([sys.executable, name], cwd=folder, env=env, check=True)
        fit = [sys.executable, "-m", "memup_lightning", *command_arguments("README.md", command), *options]
        subprocess.run(fit, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        (path,) = Path(folder).glob("lightning_logs/*/summary.json")
        summary = json.loads(path.read_text())
    metrics = summary["metrics"]
    loss = "nll" if "val/base_rate" in metrics else "mse"
    return {
        "example": example,
        "seed": seed,
        "explained": 1 - metrics[f"val/{loss}"] / metrics[f"val/local_{loss}"],
        "accuracy": metrics["val/accuracy"],
        "without": metrics["val/local_accuracy"],
        "updates": summary["updates"],
        "seconds": summary["seconds_training"],
        "verdict": summary["verdict"]["name"],
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(seeds=[1, 2])
    options = parser.parse_args()
    options.threads = 1
    if options.quick:
        options.seeds = options.seeds[:1]
    rows = [run(example, seed, options.quick) for example in EXAMPLES for seed in options.seeds]
    columns = "example, seed, explained, accuracy, without, updates, seconds, verdict"
    publish(TITLE, rows, options, columns)


if __name__ == "__main__":
    main()
