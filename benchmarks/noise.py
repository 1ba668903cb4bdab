"""Coin tosses beside the one reward that a memory can explain: which rule of selection still learns it, and how soon?

    python -m benchmarks.noise [--quick] [--seeds 1 2 3] [--json PATH] [--picture docs/images/noise.png]

Every row is `fit` on conf/tmaze_noise.yaml in one maze under one rule, each run in a process of its own. Mazes: clean (no
coin tosses), coins (30 steps that pay one), vectors (each of them shows a random vector of 8 numbers too, so that no two
look alike). Rules, K=4 each: published (AverageSurprise and TopK: what the published implementation selects by), top-K
(TopK by the uncertainty of the local predictor), uncertain (Proportional: drawn among the uncertain steps), different
(Explainable, but blind to what the memory explains), explainable (Explainable as it is). A run ends when 256 held-out
episodes are judged >= 0.99 right at their junction, or at the maze's budget of updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.report import Row, arguments, publish
from benchmarks.runs import fit_alone
from callbacks import pictures
from memup_lightning.modules import MemUP

CONFIG = "conf/tmaze_noise.yaml"
MAZES = {"clean": (0, 0, 6_000), "coins": (30, 0, 6_000), "vectors": (30, 8, 15_000)}
"""Coin tosses, numbers of the vector that each shows, budget of updates."""
SELECTOR, UNCERTAINTY = "--data.init_args.selector", "--model.init_args.uncertainty"
RULES = {
    "published": [f"{SELECTOR}=TopK", f"{SELECTOR}.num_targets=4", f"{UNCERTAINTY}=AverageSurprise"],
    "top-K": [f"{SELECTOR}=TopK", f"{SELECTOR}.num_targets=4"],
    "uncertain": [f"{SELECTOR}=Proportional", f"{SELECTOR}.num_targets=4"],
    "different": ["--imports=[benchmarks.noise]", "--model=benchmarks.noise.Blind"],
    "explainable": [],
}
COLOURS = dict(zip(RULES, (pictures.RED, pictures.ORANGE, pictures.PURPLE, pictures.SKY, pictures.BLUE), strict=True))
SOLVED = 0.99


class Blind(MemUP):
    """A model that does not look at what its memory explains: every kind of context stays as promising as it was."""

    def _observe(self, *args: Any) -> None:
        pass


def run(maze: str, rule: str, seed: int, quick: bool, threads: int | None) -> Row:
    """One run in a process of its own."""
    coins, vector, budget = MAZES[maze]
    sizes = {
        "data.init_args.distractors": coins,
        "data.init_args.distractor_noise": vector,
        "trainer.max_steps": budget,
    }
    if quick:
        sizes |= {"data.init_args.length": 100, "data.init_args.distractors": coins // 3, "trainer.max_steps": 1_000}
    overrides = [f"--{name}={value}" for name, value in sizes.items()]
    summary, evaluations = fit_alone(CONFIG, *overrides, *RULES[rule], seed=seed, threads=threads)
    metrics = summary["metrics"]
    return {
        "maze": maze,
        "rule": rule,
        "seed": seed,
        "accuracy": metrics["val/accuracy"],
        "recall": metrics.get("val/target_recall"),
        "updates": summary["updates"],
        "seconds": summary["seconds_training"],
        "selection": metrics.get("refresh/share_of_training"),
        "kinds": summary["kinds"],
        "curve": [[row["updates"], row["val/accuracy"]] for row in evaluations],
    }


def gather(runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds."""
    row: Row = {key: runs[0][key] for key in ("maze", "rule")}
    row["solved"] = f"{sum(run['accuracy'] >= SOLVED for run in runs)}/{len(runs)}"
    row |= {key: [run[key] for run in runs] for key in ("accuracy", "recall", "updates", "seconds", "selection")}
    return row | {"runs": runs}


def picture(rows: Sequence[Row]) -> Figure:
    """Accuracy against updates: a panel for each maze, a colour for each rule, a curve for each seed."""
    mazes = list(dict.fromkeys(row["maze"] for row in rows))
    with pictures.style():
        figure = Figure(figsize=(pictures.WIDTH, 2.6), layout="constrained")
        panels = figure.subplots(1, len(mazes), sharey=True, squeeze=False)[0]
        for maze, axes in zip(mazes, panels, strict=True):
            for row in (row for row in rows if row["maze"] == maze):
                for number, one in enumerate(row["runs"]):
                    label = row["rule"] if number == 0 else None
                    updates, accuracy = zip(*one["curve"], strict=True)
                    axes.plot(updates, accuracy, color=COLOURS[row["rule"]], clip_on=False, label=label)
            axes.set_title(maze)
            axes.set_xlim(left=0)
            axes.set_ylim(-0.03, 1.03)
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.set_xlabel("updates")
        panels[0].set_ylabel("accuracy at the junction")
        handles = {
            label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles), **pictures.TIGHT)
    return figure


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--picture", type=Path, help="draw accuracy against updates here")
    parser.add_argument("--mazes", nargs="+", choices=MAZES, default=list(MAZES))
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    options = parser.parse_args()
    seeds = options.seeds[:1] if options.quick else options.seeds
    rows = []
    for maze in ["coins"] if options.quick else options.mazes:
        for rule in ["top-K", "explainable"] if options.quick else options.rules:
            rows.append(gather([run(maze, rule, seed, options.quick, options.threads) for seed in seeds]))
            print(f"{maze}, {rule}: {rows[-1]['solved']} solved, {rows[-1]['updates']} updates", flush=True)

    def spread(form: str) -> Any:
        def write(values: list[float | None]) -> str:
            known = [x for x in values if x is not None]
            return f"{median(known):{form}} ({min(known):{form}}-{max(known):{form}})" if known else "-"

        return write

    columns = {"maze": str, "rule": str, "solved": str, "accuracy": spread(".3f"), "recall": spread(".2f")}
    columns |= {"updates": spread(",.0f"), "seconds": spread(",.0f"), "selection": spread(".3f")}
    title = f"{CONFIG} in each maze under each rule; median (range) over seeds; selection: share of the training time"
    publish(title, rows, options, columns)
    if options.picture:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        pictures.save(picture(rows), options.picture)


if __name__ == "__main__":
    main()
