"""Selection rules with coin tosses in addition to the one reward that a memory can explain: which learns it, and how soon?

    python -m benchmarks.noise [--quick] [--seeds 1 2 3] [--tasks clean coins ...] [--rules top-K ...] [--json PATH]
        [--picture docs/images/noise.png]

Every row is `fit` on one task under one rule, each run in a process of its own. Tasks: conf/tmaze_noise.yaml clean (no
coin tosses), coins (30 steps that pay one), vectors (each of them shows a random vector of 8 numbers too, so that no two
look alike); and two without noise, Copy-120 and Adding-500, where the robust rule must cost nothing. Rules, K=4 each (copy
10, adding 1): published (AverageSurprise and TopK: what the published implementation selects by), top-K (TopK by the
uncertainty of the local predictor), uncertain (Proportional: drawn among the uncertain steps), different (Explainable, but
without the memory gain), explainable (Explainable as it is). A run ends when validation episodes are predicted right
at the share that the task's config asks for, or at the task's budget of updates; Adding-500 has no such end, its error is
compared. With --json, a row that was measured before stays in the file until it is measured again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from torch import Tensor

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import fit_alone
from benchmarks.tasks import CORE, DATA, MODEL, PROBLEMS, Problem
from memup_lightning.callbacks.plots import style
from memup_lightning.modules import MemUP

MAZE = "conf/tmaze_noise.yaml"
SELECTOR, UNCERTAINTY = f"{DATA}.selector", f"{MODEL}.uncertainty"


class Case(NamedTuple):
    """A task of the table, and K of every rule on it."""

    problem: Problem
    num_targets: int


def maze(name: str, coins: int, vector: int, updates: int) -> Case:
    """A maze with so many coin tosses, each of which shows a random vector of so many numbers."""
    sizes = [f"{DATA}.distractors={coins}", f"{DATA}.distractor_noise={vector}", f"--trainer.max_steps={updates}"]
    return Case(Problem(name, MAZE, sizes, 0.99), num_targets=4)


ADDING = (
    f"{DATA}.length=500",
    f"{DATA}.chunk_length=50",
    f"{CORE}.chrono=500",
    f"{MODEL}.lr_scheduler.init_args.total_steps=6000",
    "--trainer.max_steps=6000",
    "--trainer.val_check_interval=1000",
)
TASKS = {
    "clean": maze("clean", 0, 0, 6_000),
    "coins": maze("coins", 30, 0, 6_000),
    "vectors": maze("vectors", 30, 8, 15_000),
    "Copy-120": Case(PROBLEMS[0], num_targets=10),
    "Adding-500": Case(Problem("Adding-500", "conf/adding.yaml", ADDING, 0.005, metric="val/mse", smallest=True), 1),
}
MAZES = [name for name, case in TASKS.items() if case.problem.config == MAZE]
RULES = {
    "published": [f"{SELECTOR}=TopK", f"{UNCERTAINTY}=AverageSurprise"],
    "top-K": [f"{SELECTOR}=TopK"],
    "uncertain": [f"{SELECTOR}=Proportional"],
    "different": [f"{SELECTOR}=Explainable", "--imports=[benchmarks.noise]", "--model=benchmarks.noise.Blind"],
    "explainable": [f"{SELECTOR}=Explainable"],
}
COLOURS = dict(zip(RULES, (style.GREY, style.PURPLE, style.GREEN, style.SKY, style.BLUE), strict=True))


class Blind(MemUP):
    """A model that does not look at what its memory explains: every context cluster stays as promising as it was."""

    def _explained_by_own(self, *steps: Any) -> tuple[Tensor, Tensor]:
        gain, compared = super()._explained_by_own(*steps)
        return gain, torch.zeros_like(compared)


def run(task: str, rule: str, seed: int, quick: bool, threads: int | None) -> Row:
    """One run in a process of its own."""
    problem, num_targets = TASKS[task]
    overrides = [*problem.overrides, *RULES[rule], f"{SELECTOR}.num_targets={num_targets}"]
    if quick:
        overrides += [f"{DATA}.length=100", f"{DATA}.distractors=10", "--trainer.max_steps=1000"]
    summary, evaluations = fit_alone(problem.config, *overrides, seed=seed, threads=threads)
    metrics = summary["metrics"]
    return {
        "task": task,
        "rule": rule,
        "seed": seed,
        "value": metrics[problem.metric],
        "recall": metrics.get("val/target_recall"),
        "updates": summary["updates"],
        "seconds": summary["seconds_training"],
        "selection": metrics.get("refresh/share_of_training"),
        "clusters": summary["clusters"],
        "curve": [[row["updates"], row[problem.metric]] for row in evaluations],
    }


def gather(runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds."""
    row: Row = {key: runs[0][key] for key in ("task", "rule")}
    problem = TASKS[row["task"]].problem
    row["solved"] = f"{sum(bool(problem.reached(run['value'])) for run in runs)}/{len(runs)}"
    row |= {key: [run[key] for run in runs] for key in ("value", "recall", "updates", "seconds", "selection")}
    return row | {"runs": runs}


def picture(rows: Sequence[Row]) -> Figure:
    """Accuracy against updates: a panel for each maze, a colour for each rule, the median of the seeds and their range."""
    mazes = [name for name in dict.fromkeys(row["task"] for row in rows) if name in MAZES]
    with style.plot_style():
        figure = Figure(figsize=(style.WIDTH, 2.6), layout="constrained")
        panels = figure.subplots(1, len(mazes), sharey=True, squeeze=False)[0]
        for maze, axes in zip(mazes, panels, strict=True):
            for row in (row for row in rows if row["task"] == maze):
                style.draw_seeds(axes, [one["curve"] for one in row["runs"]], COLOURS[row["rule"]], row["rule"])
            axes.set_title(maze)
            axes.set_xlim(left=0)
            axes.set_ylim(-0.03, 1.03)
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.set_xlabel("updates")
        panels[0].set_ylabel("accuracy at the junction")
        handles = {
            label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles), **style.TIGHT)
    return figure


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--picture", type=Path, help="draw accuracy against updates here")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    options = parser.parse_args()
    if options.picture and not set(MAZES) & set(options.tasks):
        parser.error(f"--picture draws the mazes; give one of them among --tasks: {', '.join(MAZES)}")
    seeds = options.seeds[:1] if options.quick else options.seeds
    rows: list[Row] = []
    for task in ["coins"] if options.quick else options.tasks:
        for rule in ["top-K", "explainable"] if options.quick else options.rules:
            rows.append(gather([run(task, rule, seed, options.quick, options.threads) for seed in seeds]))
            print(f"{task}, {rule}: {rows[-1]['solved']} solved, {rows[-1]['updates']} updates", flush=True)
    rows = with_earlier(rows, options, ("task", "rule"))
    columns = "task, rule, solved, value, recall, updates, seconds, selection"
    title = "each task under each rule; median (range) over seeds; selection: share of the training time"
    publish(title, rows, options, columns)
    if options.picture:
        style.save(picture(rows), options.picture)


if __name__ == "__main__":
    main()
