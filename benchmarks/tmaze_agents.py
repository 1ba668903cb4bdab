"""Agents on T-Maze-LNR: a MemUP memory, in two phases and jointly, against agents that learn their memory from the reward.

    python -m benchmarks.tmaze_agents [--quick] [--seeds 1 2 3] [--lengths 20 100 1000] [--json PATH]

Every agent runs through the command line in a process of its own: conf/tmaze.yaml and conf/tmaze_ppo.yaml for two phases,
conf/tmaze_joint.yaml for joint training, conf/tmaze_ppo.yaml with another model for the rest. A run ends when 100 episodes
all succeed, or when its budget of environment steps is spent, the same for every agent on a length; then 200 other episodes
are played (`success`). Environment steps count those of both phases, seconds those of the whole `fit`. Saved tensors: what
autograd keeps from forward to backward pass of one update of the policy, and of the memory where that has its own.

The baselines learn by backpropagation through a rollout of at most 256 steps of 64 environments, long enough to hold a
whole episode of 20 or 100 steps, and a batch is 16 whole sequences of it. PPO-LSTM has chrono initialisation for the maze's
length; the transformer looks back over 32 steps on length 20 and over 128 on the others; IMPALA passes over a rollout once,
PPO four times. Learning rates were chosen on length 20 by `--tune`, which prints the table of all that were tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Row, arguments, publish

BUDGET = {20: 400_000, 100: 1_000_000, 1000: 2_000_000}
"""Environment steps that every agent may take, by length."""
RATES = (3e-4, 1e-3, 3e-3)
SOLVED = 0.99


class Baseline(NamedTuple):
    """An agent that learns its memory from the reward.

    Attributes:
        model: class name.
        memory: class name of the core.
        lr: chosen by ``--tune``.
        epochs: passes over a rollout.
        options: ``(length) -> arguments of the core``.
    """

    model: str
    memory: str
    lr: float
    epochs: int
    options: Callable[[int], dict[str, int]]


BASELINES = {
    "PPO-LSTM": Baseline("PPO", "LSTM", 3e-3, 4, lambda length: {"chrono": length}),
    "PPO-AMRL": Baseline("PPO", "AMRL", 3e-3, 4, lambda length: {}),
    "IMPALA-ST": Baseline("IMPALA", "GTrXL", 3e-3, 1, lambda length: {"window": 32 if length <= 20 else 128}),
}
AGENTS = ("MemUP two-phase", "MemUP joint", *BASELINES)


def call(folder: Path, command: str, config: str, seed: int, threads: int, *options: str) -> dict[str, Any]:
    """Run a subcommand in a process of its own; its summary (of ``fit``) or its metrics (of ``test``).

    Raises:
        SystemExit: it failed; with the end of what it wrote.
    """
    environment = dict(os.environ, WANDB_MODE="disabled", WANDB_SILENT="true", OMP_NUM_THREADS=str(threads))
    environment["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), environment.get("PYTHONPATH", "")])
    line = [sys.executable, "-m", "memup_lightning", command, f"--config={Path(config).resolve()}"]
    line += [f"--seed_everything={seed}", f"--num_threads={threads}", *options]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\nfailed:\n{done.stderr[-2000:]}")
    newest = max((folder / "runs").glob("*/version_*"), key=lambda path: path.stat().st_mtime_ns)
    if command == "fit":
        summary: dict[str, Any] = json.loads((newest / "summary.json").read_text())
        return summary
    header, *_, row = (newest / "metrics.csv").read_text().splitlines()
    return {name: float(x) for name, x in zip(header.split(","), row.split(","), strict=True) if x}


def sizes(length: int, budget: int, baseline: Baseline | None = None) -> list[str]:
    """Rollouts that suit a length: whole episodes for a memory that is trained, 256 steps at most for backpropagation."""
    envs = 64 if baseline else 128
    steps = min(max(2 * length, 64), 256) if baseline else min(length + 12, 1024)
    epochs, minibatches = (baseline.epochs, 4) if baseline else (2, max(2, envs * steps // 6500))
    each = epochs * minibatches
    rollouts = max(1, budget // (envs * steps))
    return [
        f"--data.init_args.env_kwargs.length={length}",
        f"--data.init_args.num_envs={envs}",
        f"--data.init_args.steps={steps}",
        f"--data.init_args.epochs={epochs}",
        f"--data.init_args.minibatches={minibatches}",
        f"--trainer.max_steps={each * rollouts}",
        f"--trainer.val_check_interval={each * max(1, rollouts // 20)}",
    ]


def memory_options() -> list[str]:
    """So that the bytes that a policy's update saves are measured too."""
    return ["--trainer.callbacks+=MemoryUsage"]


def run(agent: str, length: int, seed: int, threads: int, lr: float | None = None) -> Row:
    """Train an agent, then play 200 episodes."""
    budget = BUDGET[length]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if agent == "MemUP two-phase":
            first = call(folder, "fit", "conf/tmaze.yaml", seed, threads, f"--data.init_args.length={length}")
            config, given = "conf/tmaze_ppo.yaml", sizes(length, budget - first["environment_steps"])
            given += ["--model.init_args.memory=runs/tmaze"]
            parts = [first]
        elif agent == "MemUP joint":
            config, given, parts = "conf/tmaze_joint.yaml", joint(length, budget), []
        else:
            base = BASELINES[agent]
            config, given, parts = "conf/tmaze_ppo.yaml", sizes(length, budget, base), []
            given += [f"--model={base.model}", f"--model.init_args.memory={base.memory}"]
            given += [f"--model.init_args.memory.init_args.{name}={x}" for name, x in base.options(length).items()]
            given += [f"--model.init_args.optimizer.init_args.lr={lr or base.lr}"]
        parts.append(call(folder, "fit", config, seed, threads, *given, *memory_options()))
        last = ["--ckpt_path=last", *given]
        test = call(folder, "test", config, seed + 1000, threads, *last)
    return {
        "agent": agent,
        "length": length,
        "seed": seed,
        "lr": lr,
        "success": test["test/success"],
        "environment_steps": sum(part["environment_steps"] for part in parts),
        "seconds": sum(part["seconds_total"] for part in parts),
        "saved_bytes": max(part["saved_tensor_bytes"] or 0 for part in parts),
        "peak_rss_mb": max(part["peak_rss_mb"] for part in parts),
    }


def joint(length: int, budget: int) -> list[str]:
    """As :func:`sizes`, with the memory's updates after each rollout."""
    given = [x for x in sizes(length, budget) if not x.startswith("--trainer")]
    counts = {name.rpartition(".")[2]: int(x) for name, _, x in (option.partition("=") for option in given)}
    each = counts["epochs"] * counts["minibatches"] + 400
    rollouts = max(1, budget // (counts["num_envs"] * counts["steps"]))
    return [*given, f"--trainer.max_steps={each * rollouts}", f"--trainer.val_check_interval={each}"]


def gather(runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds: medians, and the worst success."""
    row: Row = {key: runs[0][key] for key in ("agent", "length", "lr")}
    row["solved"] = f"{sum(run['success'] >= SOLVED for run in runs)}/{len(runs)}"
    row["success"] = min(run["success"] for run in runs)
    for key in ("environment_steps", "seconds", "saved_bytes", "peak_rss_mb"):
        row[key] = sorted(run[key] for run in runs)[len(runs) // 2]
    row["runs"] = runs
    return row


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", choices=sorted(BUDGET), default=sorted(BUDGET))
    parser.add_argument("--agents", nargs="+", choices=AGENTS, default=list(AGENTS))
    parser.add_argument("--tune", action="store_true", help="the baselines on length 20 at several learning rates")
    options = parser.parse_args()
    seeds = options.seeds[:1] if options.quick else options.seeds
    threads = options.threads or 1
    work: list[tuple[str, int, float | None]] = [(a, x, None) for x in options.lengths for a in options.agents]
    if options.quick:
        work = [("MemUP two-phase", 20, None), ("PPO-LSTM", 20, None)]
    if options.tune:
        work = [(agent, 20, rate) for agent in BASELINES if agent in options.agents for rate in RATES]
    rows = []
    for agent, length, rate in work:
        rows.append(gather([run(agent, length, seed, threads, rate) for seed in seeds]))
        print(f"{agent}, length {length}: {rows[-1]['solved']} solved", flush=True)
    columns = {
        "agent": str,
        "length": "{:,}".format,
        "lr": "{:g}".format,
        "solved": str,
        "success": "{:.3f}".format,
        "environment_steps": "{:,}".format,
        "seconds": "{:,.0f}".format,
        "saved_bytes": "{:,}".format,
        "peak_rss_mb": "{:,.0f}".format,
    }
    publish("agents on T-Maze-LNR: worst success, medians of the rest", rows, options, columns)


if __name__ == "__main__":
    main()
