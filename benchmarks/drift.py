"""What a memory holds in episodes longer than those it was trained on, with and without the drift regularizer.

    python -m benchmarks.drift [--quick] [--seeds 1 2 3] [--json PATH] [--picture PATH]

Every run is `fit` on conf/scattered_copy.yaml with at most 500 blanks, and then `test` among fewer and more of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.report import Row, arguments, publish
from benchmarks.runs import call, read, test
from benchmarks.tasks import DATA, MODEL, updates
from memup_lightning.callbacks.plots import style

CONFIG = "conf/scattered_copy.yaml"
PENALTIES = {"none": "0", "5 from update 2,000 on": "{2000: 5.0}"}
TRAINED = 500  # blanks, at most
CURRICULUM = "{2000: 100, 3000: 220}"  # in stages, as in the config
LENGTHS = (100, 500, 1_000, 2_000, 5_000, 10_000)  # blanks of the test episodes
UPDATES, QUICK_UPDATES = 4_000, 60


def run(penalty: str, budget: int, quick: bool, seed: int, threads: int | None) -> Row:
    """One run: accuracy at every length."""
    settings = [
        *updates(budget, budget),
        f"{MODEL}.drift_weight={PENALTIES[penalty]}",
        f"{DATA}.length={TRAINED}",
        f"{DATA}.curriculum={CURRICULUM}",
        *([f"{DATA}.num_train=512", f"{DATA}.num_val=16", f"{DATA}.num_test=16"] if quick else []),
    ]
    with tempfile.TemporaryDirectory() as folder:
        summary, _ = read(call(folder, "fit", CONFIG, *settings, seed=seed, threads=threads))
        accuracy = []
        for length in LENGTHS[:2] if quick else LENGTHS:
            tested = test(folder, CONFIG, *settings, f"{DATA}.length={length}", seed=seed, threads=threads)
            accuracy.append(tested["test/accuracy"])
    found = {"seed": seed, "accuracy": accuracy, "updates": summary["updates"], "seconds": summary["seconds_total"]}
    print(f"drift regularizer {penalty}: {found}", flush=True)
    return found


def gather(penalty: str, runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds: the accuracy at each length."""
    by_length = zip(*(run["accuracy"] for run in runs), strict=True)
    return {
        "drift_penalty": penalty,
        **{f"{n:,}": list(x) for n, x in zip(LENGTHS, by_length, strict=False)},
        "runs": runs,
    }


def picture(rows: Sequence[Row]) -> Figure:
    """Accuracy against the number of blanks: a colour for each weight, a curve for each seed."""
    with style.plot_style():
        figure = Figure(figsize=(style.WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        for row, colour in zip(rows, (style.GREY, style.METHODS["MemUP"]), strict=True):
            for number, run in enumerate(row["runs"]):
                label = f"drift regularizer: {row['drift_penalty']}" if number == 0 else None
                lengths = LENGTHS[: len(run["accuracy"])]
                axes.plot(lengths, run["accuracy"], color=colour, label=label, **style.POINT)
        axes.set_xscale("log")
        axes.set_xticks(LENGTHS)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlim(min(LENGTHS), max(LENGTHS))
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel(f"blanks in an episode (in training at most {TRAINED})")
        axes.set_ylabel("accuracy")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(rows), **style.TIGHT)
    return figure


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--picture", type=Path, help="draw accuracy against length here")
    options = parser.parse_args()
    seeds = options.seeds[:1] if options.quick else options.seeds
    budget = QUICK_UPDATES if options.quick else UPDATES
    rows = [
        gather(penalty, [run(penalty, budget, options.quick, seed, options.threads) for seed in seeds])
        for penalty in PENALTIES
    ]
    columns = ", ".join(["drift_penalty", *(f"{length:,}" for length in LENGTHS)])
    title = (
        f"{CONFIG}, {budget:,} updates with at most {TRAINED} blanks: accuracy among more; median (range) over seeds"
    )
    publish(title, rows, options, columns)
    if options.picture:
        style.save(picture(rows), options.picture)


if __name__ == "__main__":
    main()
