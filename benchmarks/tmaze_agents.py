"""Agents on T-Maze-LNR: a MemUP memory, in two phases and jointly, against agents that learn their memory from the reward.

    python -m benchmarks.tmaze_agents [--quick] [--seeds 1 2 3] [--lengths 20 100 1000 20000] [--json PATH]

Every agent runs through the command line in a process of its own: conf/tmaze.yaml and conf/tmaze_ppo.yaml for two phases,
conf/tmaze_joint.yaml for joint training, conf/tmaze_ppo.yaml with another model for the rest. A run ends when all episodes
of an evaluation succeed (400 of them on 20 and 100, 200 on 1,000, 128 on 20,000), or when its budget of environment steps
is spent, the same for every agent on a length; then 200 other episodes are played (`success`). Environment steps count
those of both phases, seconds those of the whole `fit`, processor seconds those of its processes, from their start on.
Saved tensors: what autograd keeps from forward to backward pass of one update of the policy, and of the memory where that
has its own. Length 20,000 is for the agent in two phases alone.

The baselines learn by backpropagation through a rollout of at most 256 steps of 64 environments, long enough to hold a
whole episode of 20 or 100 steps, and a batch is 16 whole sequences of it. PPO-LSTM has chrono initialisation for the maze's
length; the transformer looks back over 32 steps on length 20 and over 128 on the others; IMPALA passes over a rollout once,
PPO four times. Learning rates were chosen on length 20 by `--tune`, which prints the table of all that were tried.

With --json, a row that was measured before stays in the file until it is measured again.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import call, processor_seconds

BUDGET = {20: 400_000, 100: 1_000_000, 1000: 2_000_000, 20_000: 20_000_000}
"""Environment steps that every agent may take, by length."""
EVALUATED = {20: 400, 100: 400, 1000: 200, 20_000: 128}
"""Episodes that must all succeed for a run to end early. A hundred let one end that then failed in 3 of 200."""
LONG = 10_000  # steps from which on an evaluation takes long
ENVS, MEMORY_UPDATES = 64, 400  # of a baseline; of joint training, after each rollout
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
    "PPO-LSTM": Baseline("PPO", "LSTM", 3e-3, 4, lambda length: {"additive": False, "chrono": length}),
    "PPO-AMRL": Baseline("PPO", "AMRL", 3e-3, 4, lambda length: {}),
    "IMPALA-ST": Baseline("IMPALA", "GTrXL", 3e-3, 1, lambda length: {"window": 32 if length <= 20 else 128}),
}
AGENTS = ("MemUP two-phase", "MemUP joint", *BASELINES)


def rollout_steps(length: int) -> int:
    """Steps of a rollout through which a baseline's gradients go back."""
    return min(max(2 * length, 64), 256)


def sizes(length: int, budget: int, baseline: Baseline | None = None, memory_updates: int = 0) -> list[str]:
    """Rollouts that suit a length: whole episodes for a memory that is trained, 256 steps at most for backpropagation."""
    envs = ENVS if baseline or length >= LONG else 128
    steps = rollout_steps(length) if baseline else length + 12
    epochs, num_minibatches = (baseline.epochs, 4) if baseline else (2, max(2, envs * steps // 6500))
    each = epochs * num_minibatches + memory_updates
    rollouts = max(1, budget // (envs * steps))
    between = 1 if memory_updates else max(1, rollouts // 20)  # rollouts
    given = [
        f"--data.init_args.env_kwargs.length={length}",
        f"--data.init_args.num_envs={envs}",
        f"--data.init_args.num_steps={steps}",
        f"--data.init_args.update_epochs={epochs}",
        f"--data.init_args.num_minibatches={num_minibatches}",
        f"--trainer.max_steps={each * rollouts}",
        f"--trainer.val_check_interval={each * between}",
        f"--data.init_args.num_val={EVALUATED[length]}",
    ]
    if length >= LONG:
        given.append("--trainer.num_sanity_val_steps=0")
    return given + [f"--data.init_args.memory_updates={memory_updates}"] * bool(memory_updates)


def run(agent: str, length: int, seed: int, threads: int, lr: float | None = None) -> Row:
    """Train an agent, then play 200 episodes."""
    budget = BUDGET[length]
    with tempfile.TemporaryDirectory() as folder:

        def fit(config: str, *options: str) -> dict[str, Any]:
            path = call(folder, "fit", config, *options, seed=seed, threads=threads, wandb="disabled")
            summary: dict[str, Any] = json.loads((path / "summary.json").read_text())
            return summary

        config, parts = "conf/tmaze_ppo.yaml", []
        processor = processor_seconds()
        if agent == "MemUP two-phase":
            rarely = ["--trainer.val_check_interval=1000"] if length >= LONG else []
            parts = [fit("conf/tmaze.yaml", f"--data.init_args.length={length}", *rarely)]
            given = sizes(length, budget - parts[0]["environment_steps"])
            given += ["--model.init_args.memory=runs/tmaze"]
        elif agent == "MemUP joint":
            config, given = "conf/tmaze_joint.yaml", sizes(length, budget, memory_updates=MEMORY_UPDATES)
        else:
            base = BASELINES[agent]
            given = sizes(length, budget, base)
            given += [f"--model={base.model}", f"--model.init_args.memory={base.memory}"]
            given += [f"--model.init_args.memory.init_args.{name}={x}" for name, x in base.options(length).items()]
            given += [f"--model.init_args.optimizer.init_args.lr={lr or base.lr}"]
        parts.append(fit(config, *given, "--trainer.callbacks+=MemoryUsage"))  # a policy's update is measured too
        processor = processor_seconds() - processor
        last = ["--ckpt_path=last", *given]
        played = call(folder, "test", config, *last, seed=seed + 1000, threads=threads, wandb="disabled")
        with (played / "metrics.csv").open() as file:
            success = next(float(row["test/success"]) for row in csv.DictReader(file))
    return {
        "agent": agent,
        "length": length,
        "seed": seed,
        "lr": lr,
        "success": success,
        "environment_steps": sum(part["environment_steps"] for part in parts),
        "seconds": sum(part["seconds_total"] for part in parts),
        "processor_seconds": processor,
        "saved_bytes": max(part["saved_tensor_bytes"] or 0 for part in parts),
        "peak_rss_mb": max(part["peak_rss_mb"] for part in parts),
    }


def gather(runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds: medians, and the worst success."""
    row: Row = {key: runs[0][key] for key in ("agent", "length", "lr")}
    row["solved"] = f"{sum(run['success'] >= SOLVED for run in runs)}/{len(runs)}"
    row["success"] = min(run["success"] for run in runs)
    for key in ("environment_steps", "seconds", "processor_seconds", "saved_bytes", "peak_rss_mb"):
        row[key] = sorted(run[key] for run in runs)[len(runs) // 2]
    row["runs"] = runs
    return row


def ordered(rows: list[Row]) -> list[Row]:
    """By length and agent; what ``--tune`` tried comes last."""
    return sorted(rows, key=lambda row: (row["lr"] or 0, row["length"], AGENTS.index(row["agent"])))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", choices=sorted(BUDGET), default=sorted(BUDGET))
    parser.add_argument("--agents", nargs="+", choices=AGENTS, default=list(AGENTS))
    parser.add_argument("--tune", action="store_true", help="the baselines on length 20 at several learning rates")
    options = parser.parse_args()
    seeds = options.seeds[:1] if options.quick else options.seeds
    threads = options.threads or 1
    work: list[tuple[str, int, float | None]] = [
        (agent, length, None)
        for length in options.lengths
        for agent in options.agents
        if length < LONG or agent == "MemUP two-phase"
    ]
    if options.quick:
        work = [("MemUP two-phase", 20, None), ("PPO-LSTM", 20, None)]
    if options.tune:
        work = [(agent, 20, rate) for agent in BASELINES if agent in options.agents for rate in RATES]
    columns = (
        "agent, length, lr, solved, success, environment_steps, seconds, processor_seconds, saved_bytes, peak_rss_mb"
    )
    title = "agents on T-Maze-LNR: worst success, medians of the rest"
    rows: list[Row] = []
    for agent, length, rate in work:
        rows.append(gather([run(agent, length, seed, threads, rate) for seed in seeds]))
        publish(title, ordered(with_earlier(rows, options, ("agent", "length", "lr"))), options, columns)


if __name__ == "__main__":
    main()
