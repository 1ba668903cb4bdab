"""Runs of the shipped configs: in this process, through the command line's own entry point, or each in one of its own."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning import Callback

from memup_lightning.cli.main import MemUPCLI, main


def fit(
    config: str,
    folder: str,
    seed: int,
    max_steps: int,
    extra: Sequence[Callback] = (),
    options: Sequence[str] = (),
    **data: Any,
) -> MemUPCLI:
    """Run ``fit`` on a config.

    Args:
        config: path of the config.
        folder: where the run leaves its files.
        seed: of weights and data.
        max_steps: updates at most.
        extra: callbacks in addition to those of the config.
        options: more arguments of the command line.
        **data: arguments of the datamodule.

    Returns:
        The finished run.
    """
    overrides = [f"--data.init_args.{name}={value}" for name, value in data.items()]
    arguments = [
        "fit",
        f"--config={Path(config).resolve()}",
        f"--seed_everything={seed}",
        f"--trainer.max_steps={max_steps}",
        *overrides,
        *options,
    ]
    with contextlib.chdir(folder):
        return main(arguments, extra_callbacks=extra)


class Finished(NamedTuple):
    """What a run leaves in its folder.

    Attributes:
        summary: its summary.json.
        evaluations: a row for each evaluation: ``updates`` and the metrics ``val/...``.
    """

    summary: dict[str, Any]
    evaluations: list[dict[str, float]]


def fit_alone(config: Path | str, *overrides: str, seed: int, threads: int | None = None) -> Finished:
    """Run ``fit`` on a config in a process and a folder of its own, so that its peak memory is its own.

    Args:
        config: path of the config.
        overrides: more arguments of the command line.
        seed: of weights and data.
        threads: of torch; by default what the config says.

    Raises:
        SystemExit: the run failed; with the end of what it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        return read(call(folder, "fit", config, *overrides, seed=seed, threads=threads))


def fit_and_test_alone(
    config: Path | str, *overrides: str, seed: int, threads: int | None = None
) -> tuple[Finished, dict[str, float]]:
    """:func:`fit_alone`, and then ``test`` with the last checkpoint, on episodes by which nothing was chosen or stopped.

    Returns:
        The run, and the metrics ``test/...``.
    """
    with tempfile.TemporaryDirectory() as folder:
        finished = read(call(folder, "fit", config, *overrides, seed=seed, threads=threads))
        return finished, test(folder, config, *overrides, seed=seed, threads=threads)


def test(folder: Path | str, config: Path | str, *overrides: str, seed: int, threads: int | None) -> dict[str, float]:
    """Run ``test`` with the last checkpoint of the runs in a folder, in a process of its own.

    Args:
        folder: where ``fit`` ran.
        config: path of the config.
        overrides: more arguments of the command line.
        seed: of the data.
        threads: of torch; by default what the config says.

    Returns:
        The metrics ``test/...``.
    """
    run = call(folder, "test", config, *overrides, "--ckpt_path=last", seed=seed, threads=threads)
    found = _metrics(run / "metrics.csv", "test/")[-1]
    del found["updates"]  # `test` counts none
    return found


def read(run: Path) -> Finished:
    """Contents of the folder of a run."""
    return Finished(json.loads((run / "summary.json").read_text()), _metrics(run / "metrics.csv", "val/"))


def call(
    folder: Path | str,
    subcommand: str,
    config: Path | str,
    *overrides: str,
    seed: int,
    threads: int | None = None,
    wandb: str = "offline",
) -> Path:
    """Run a subcommand on a config in a process of its own.

    Args:
        folder: where it runs and leaves ``runs/``.
        subcommand: ``fit``, ``test``, ...
        config: path of the config.
        overrides: more arguments of the command line.
        seed: of weights and data.
        threads: of torch; by default what the config says.
        wandb: ``WANDB_MODE``.

    Returns:
        The run's folder.

    Raises:
        SystemExit: it failed; with the end of what it wrote.
    """
    command = [sys.executable, "-m", "memup_lightning", subcommand, f"--config={Path(config).resolve()}"]
    command += [f"--seed_everything={seed}", *overrides]
    environment = dict(os.environ, WANDB_MODE=wandb, WANDB_SILENT="true")
    environment["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), environment.get("PYTHONPATH", "")])
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
        command += [f"--num_threads={threads}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    runs = list(Path(folder).glob("runs/*/version_*"))
    if done.returncode or not runs:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{done.stderr[-2000:]}")
    return max(runs, key=lambda path: path.stat().st_mtime_ns)


def _metrics(path: Path, prefix: str) -> list[dict[str, float]]:
    """A row for each evaluation whose metrics begin with ``prefix``."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [
        {"updates": float(row["step"]) + 1}
        | {name: float(x) for name, x in row.items() if name.startswith(prefix) and x}
        for row in rows
        if row.get(f"{prefix}accuracy")
    ]


def processor_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
