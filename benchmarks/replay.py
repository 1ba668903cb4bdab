"""A cue anywhere in the first half of the corridor: what does each schedule of the lanes learn of it?

    python -m benchmarks.replay [--quick] [--seeds 1 2 3] [--json PATH] [--picture docs/images/replay.png]

Every row is `fit` on conf/tmaze_random_hint.yaml under one schedule, in a process of its own: sequential (each lane plays
its episodes to the end), restarts (a mixture of lanes that leave early), replay (as the config is). The first two run
without the Replay callback. All have the same budget of updates, and end earlier when predictions at the junctions of 64
validation episodes of full length are >= 0.99 right.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.report import Row, arguments, publish
from benchmarks.runs import fit_alone
from memup_lightning.callbacks.plots import style

CONFIG = Path("conf/tmaze_random_hint.yaml")
SCHEDULES = {"sequential": [0.0], "restarts": [0.3, 0.1, 0.02, 0.0], "replay": [0.0]}
COLOURS = {"sequential": style.GREY, "restarts": style.SKY, "replay": style.METHODS["MemUP"]}
UPDATES = 12_000
SOLVED = 0.99


def adapted(schedule: str, updates: int, quick: bool) -> dict[str, Any]:
    """The config under a schedule, with a budget of updates; for ``quick`` with a corridor of 1,000 steps."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    trainer, data = config["trainer"], config["data"]["init_args"]
    callbacks = {callback["class_path"]: callback for callback in trainer["callbacks"]}
    trainer["max_steps"] = updates
    data["restart"] = SCHEDULES[schedule]
    if quick:
        data["length"], trainer["val_check_interval"] = 1_000, 250
        callbacks["TargetRefresh"]["init_args"]["every"] = 500
        callbacks["Replay"]["init_args"] |= {"every": 250, "max_age": 1_000}
    if schedule != "replay":
        del callbacks["Replay"]
    trainer["callbacks"] = list(callbacks.values())
    return config


def run(schedule: str, updates: int, quick: bool, seed: int, threads: int | None) -> Row:
    """One run under a schedule."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / CONFIG.name
        path.write_text(yaml.safe_dump(adapted(schedule, updates, quick)))
        summary, evaluations = fit_alone(path, seed=seed, threads=threads)
    return {
        "schedule": schedule,
        "seed": seed,
        "accuracy": summary["metrics"]["val/accuracy"],
        "recall": summary["metrics"].get("val/target_recall"),
        "updates": summary["updates"],
        "seconds": summary["seconds_total"],
        "curve": [[row["updates"], row["val/accuracy"]] for row in evaluations],
    }


def gather(runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds."""
    row: Row = {"schedule": runs[0]["schedule"]}
    row["solved"] = f"{sum(run['accuracy'] >= SOLVED for run in runs)}/{len(runs)}"
    return row | {key: [run[key] for run in runs] for key in ("accuracy", "updates", "seconds")} | {"runs": runs}


def picture(rows: Sequence[Row]) -> Figure:
    """Accuracy against updates: a colour for each schedule, the median of the seeds and their range."""
    with style.plot_style():
        figure = Figure(figsize=(style.WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        for row in rows:
            curves = [run["curve"] for run in row["runs"]]
            style.draw_seeds(axes, curves, COLOURS[row["schedule"]], row["schedule"])
        axes.set_xlim(left=0)
        axes.set_ylim(-0.03, 1.03)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("updates")
        axes.set_ylabel("accuracy on validation episodes")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(rows), **style.TIGHT)
    return figure


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--picture", type=Path, help="draw accuracy against updates here")
    options = parser.parse_args()
    seeds = options.seeds[:1] if options.quick else options.seeds
    updates = 2_000 if options.quick else UPDATES
    rows = []
    for schedule in SCHEDULES:
        rows.append(gather([run(schedule, updates, options.quick, seed, options.threads) for seed in seeds]))
        print(f"{schedule}: {rows[-1]['solved']} solved, {rows[-1]['updates']} updates", flush=True)
    columns = "schedule, solved, accuracy, updates, seconds"
    title = f"{CONFIG}: accuracy at the end, updates and seconds of each schedule; median (range) over seeds"
    publish(title, rows, options, columns)
    if options.picture:
        style.save(picture(rows), options.picture)


if __name__ == "__main__":
    main()
