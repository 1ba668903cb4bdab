"""A check of the tests: ten central functions are broken in turn, and the tests must notice each.

    python -m tests.mutation_check [NAME ...]    # or: make mutation

Each mutant is made in a scratch copy of the checkout, where the tests named with it run until the first one fails. They
run once on the intact copy before, since tests that fail anyway notice nothing. The exit status is 1 where a mutant lives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.command_line import ROOT


class Mutant(NamedTuple):
    """A change that breaks a function.

    Attributes:
        file: of the package.
        intact: code that is there once.
        broken: what takes its place.
        tests: files, or ids, of the tests that must notice.
    """

    file: str
    intact: str
    broken: str
    tests: tuple[str, ...]


MUTANTS = {
    "schedule": Mutant(
        "data/streaming/samplers.py",
        "(steps[:, None] - begin) * self.chunk_length",
        "(steps[:, None] - begin + 1) * self.chunk_length",
        ("tests/data/streaming/test_samplers.py",),
    ),
    "selection": Mutant(
        "data/targets/selectors.py",
        "return steps.uncertainty\n",
        "return -steps.uncertainty\n",
        ("tests/data/test_targets.py",),
    ),
    "detach": Mutant(
        "models/memory/base.py", "map_state(Tensor.detach, state)", "state", ("tests/modules/test_memup_gradients.py",)
    ),
    "lane reset": Mutant(
        "models/memory/base.py",
        ", i, s), state, initial)",
        ", s, s), state, initial)",
        ("tests/modules/test_memup.py", "tests/models/memory/test_every_core.py"),
    ),
    "targets join": Mutant(
        "data/streaming/target_join.py",
        "chunk.targets = self._laid_out[chunk.step]",
        "chunk.targets = self._laid_out[max(self._laid_out)]",
        ("tests/data/streaming/test_target_join.py",),
    ),
    "resume": Mutant(
        "datamodules/recorded/base.py",
        'self.splits["train"].targets.load_state_dict(state_dict["targets"])',
        "pass",
        ("tests/runs/test_resume.py",),
    ),
    "loss mask": Mutant(
        "modules/memup.py",
        " & targets.valid[:, None] & (distance",
        " & (distance",
        ("tests/modules/test_memup.py",),
    ),
    "loss-free lanes": Mutant(
        "modules/memup.py",
        "on & ~chunk.loss_free.view",
        "on | ~chunk.loss_free.view",
        ("tests/modules/test_loss_free.py",),
    ),
    "moving average": Mutant(
        "models/ema.py", "(ours, theirs, ", "(ours, ours, ", ("tests/modules/targets/test_uncertainty.py",)
    ),
    "reward targets": Mutant(
        "rl/rollouts/returns.py", "gamma * total[at + 1]", "gamma * total[at]", ("tests/rl/test_returns.py",)
    ),
}


def failed(checkout: Path, tests: tuple[str, ...]) -> bool:
    """Whether a test failed; one that could not be collected is an error of this check.

    Raises:
        RuntimeError: pytest could not run the tests.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "not learning and not slow",
            *tests,
        ],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 1


def main(names: list[str]) -> int:
    """Try mutants by name; without a name all of them."""
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "checkout"
        ignored = shutil.ignore_patterns(".*", "__pycache__", "runs.*", "dist", "results", "images")
        shutil.copytree(ROOT, checkout, symlinks=True, ignore=ignored)
        chosen = {name: MUTANTS[name] for name in names or MUTANTS}
        tests = tuple(dict.fromkeys(test for mutant in chosen.values() for test in mutant.tests))
        if failed(checkout, tests):
            print("the tests fail on the intact checkout")
            return 1
        for name, mutant in chosen.items():
            path = checkout / "memup_lightning" / mutant.file
            intact = path.read_text()
            if intact.count(mutant.intact) != 1:
                raise RuntimeError(f"{name}: {mutant.file} has not one {mutant.intact!r}; write the mutant again")
            path.write_text(intact.replace(mutant.intact, mutant.broken))
            noticed = failed(checkout, mutant.tests)
            path.write_text(intact)
            print(f"{name}: {'noticed' if noticed else 'NOT noticed'} by {' '.join(mutant.tests)}", flush=True)
            if not noticed:
                survivors.append(name)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
