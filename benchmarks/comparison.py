"""MemUP, truncated and full backpropagation on the same networks: what each learns, and what it stores for it.

    python -m benchmarks.comparison [--quick] [--tasks T-Maze-LNR Copy] [--json PATH] [--picture PATH]

Every row is `fit` on conf/tmaze.yaml or conf/copy.yaml in a process of its own; networks, streams and evaluation are the
config's, the training method differs. A run ends when it is learned (accuracy on 100 validation episodes at full length:
0.99 for the maze, 0.999 for copy) or when its budget is spent: 5,000 updates of MemUP and TBPTT (copy: 8,000); of full
BPTT as many as play 300,000 steps a lane, which is more steps than the others get. One seed.

The baselines are given every chance: their loss is at the evaluated steps alone, which they know and MemUP must find;
their lanes play every episode to its end; on the maze their LSTM begins with chrono initialisation for that length, they
learn with the rate that was best for full BPTT over 100 steps (0.005; MemUP: 0.002) and their gradients are clipped.
MemUP's lanes restart and go back as its configs have them: on copy a fifth of them to the cues.

Full BPTT is run while it stores less than 8 GB a step. What it would store at the next length is estimated from the last,
in proportion to the length; where that is more, the row says so and nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.report import Row, arguments, publish, with_earlier, write_json
from benchmarks.runs import fit_alone
from memup_lightning.callbacks.plots import style

BUDGET_GB = 8.0
SOLVED = 0.99
WHOLE_STEPS = 300_000
"""Steps a lane that full BPTT plays, at most."""
METHODS = ("MemUP", "TBPTT", "BPTT")


class Problem(NamedTuple):
    """A task of the comparison.

    Attributes:
        config: its file.
        title: its name in tables.
        chunk_length: r of MemUP and TBPTT.
        more: steps of the longest episode beyond ``length``.
        updates: of MemUP and TBPTT, at most.
        options: what all methods get in addition to the config.
        baselines: what the baselines get in addition to the config.
        lengths: at which it is run.
        unknowing: accuracy of a predictor without memory.
    """

    config: str
    title: str
    chunk_length: int
    more: int
    updates: int
    options: Sequence[str]
    baselines: Sequence[str]
    lengths: Sequence[int]
    unknowing: float


CHRONO = "--model.init_args.memory.init_args.chrono={length}"
SCHEDULE = "--model.init_args.lr_scheduler.init_args.T_max={updates}"
PROBLEMS = (
    Problem(
        config="conf/tmaze.yaml",
        title="T-Maze-LNR",
        chunk_length=10,
        more=10,
        updates=5_000,
        options=[],
        baselines=[CHRONO, "--model.init_args.optimizer.init_args.lr=0.005", "--trainer.gradient_clip_val=1.0"],
        lengths=(100, 1_000, 10_000),
        unknowing=0.0,  # the mean of +4 and -3 is never right
    ),
    Problem(
        config="conf/copy.yaml",
        title="Copy",
        chunk_length=20,
        more=20,
        updates=8_000,
        options=[CHRONO, SCHEDULE],
        baselines=[],
        lengths=(100, 1_000, 10_000),
        unknowing=1 / 8,
    ),
)
QUICK = [PROBLEMS[0]._replace(lengths=(30,))]


def run(problem: Problem, length: int, method: str, share: float, threads: int | None, seed: int) -> Row:
    """One run in a process of its own, for a share of the budget."""
    whole = method == "BPTT"
    updates = max(2, round(share * (WHOLE_STEPS / length if whole else problem.updates)))
    options = [
        f"--data.init_args.length={length}",
        f"--data.init_args.chunk_length={length + problem.more if whole else problem.chunk_length}",
        f"--trainer.max_steps={updates}",
        f"--trainer.val_check_interval={max(2, updates // (20 if length < 10_000 else 5))}",
        "--data.init_args.num_val=100",
    ]
    own = list(problem.options)
    if method != "MemUP":
        options += [f"--model={method}", "--data.init_args.restart=[0.0]"]
        own += problem.baselines
    options += [option.format(length=length, updates=updates) for option in own]
    summary, evaluations = fit_alone(problem.config, *options, seed=seed, threads=threads)
    metrics = summary["metrics"]
    accuracy = metrics.get("val/accuracy")
    return {
        "task": problem.title,
        "length": length,
        "method": method,
        "chunk_length": length if whole else problem.chunk_length,
        "accuracy": accuracy,
        "ended": "solved" if accuracy is not None and accuracy >= SOLVED else "budget spent",
        "updates": summary["updates"],
        "seconds": summary["seconds_total"],
        "seconds_training": summary["seconds_training"],
        "saved_bytes": summary["saved_tensor_bytes"],
        "peak_rss_mb": summary["peak_rss_mb"],
        "seed": seed,
        "evaluations": evaluations,
    }


def foretold(problem: Problem, length: int, shorter: Row | None) -> Row | None:
    """A row in place of a run of full BPTT that would not fit."""
    if shorter is None:
        return None
    stored = shorter["saved_bytes"] * (length + problem.more) / (shorter["length"] + problem.more)
    if stored <= BUDGET_GB * 1e9:
        return None
    same = {"task": problem.title, "length": length, "method": "BPTT", "chunk_length": length}
    return same | {"saved_bytes": round(stored), "ended": f"not run: above {BUDGET_GB:.0f} GB (estimated)"}


def compare(problem: Problem, share: float, threads: int | None, seed: int) -> Iterator[Row]:
    """The rows of a task, as they come."""
    bptt: Row | None = None
    for length in problem.lengths:
        for method in METHODS:
            row = foretold(problem, length, bptt) if method == "BPTT" else None
            row = row or run(problem, length, method, share, threads, seed)
            yield row
        bptt = row
    beyond = foretold(problem, 10 * problem.lengths[-1], bptt)
    if beyond is not None and bptt is not None and bptt["ended"] != beyond["ended"]:  # it fitted so far
        yield beyond


def draw(rows: list[Row], path: Path) -> None:
    """Accuracy and stored bytes against the length, a column for each task."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    with style.plot_style():
        style.save(_figure(rows, tasks), path)


def _figure(rows: list[Row], tasks: list[str]) -> Figure:
    figure = Figure(figsize=(style.WIDTH, 5), layout="constrained")
    axes = figure.subplots(2, len(tasks), squeeze=False, sharex="col")
    for (above, below), task in zip(axes.T, tasks, strict=True):
        for method in METHODS:
            ours = [row for row in rows if row["task"] == task and row["method"] == method]
            ran = [row for row in ours if row.get("accuracy") is not None]
            looks = {"color": style.METHODS[method], "label": method} | style.POINT
            above.plot([row["length"] for row in ran], [row["accuracy"] for row in ran], **looks)
            below.plot([row["length"] for row in ours], [row["saved_bytes"] / 1e6 for row in ours], **looks)
            for row in ours:
                if row["ended"].startswith("not run"):
                    hollow = {"color": "white", "markeredgecolor": style.METHODS[method], "zorder": 3}
                    below.plot(row["length"], row["saved_bytes"] / 1e6, **(style.POINT | hollow))
        above.set(title=task, ylim=(-0.05, 1.05))
        unknowing = next(problem.unknowing for problem in PROBLEMS if problem.title == task)
        above.axhline(unknowing, color=style.GREY, linestyle=":", linewidth=1, zorder=0)
        below.axhline(BUDGET_GB * 1e3, color=style.GREY, linestyle=":", linewidth=1, zorder=0)
        below.set(xscale="log", yscale="log", xlabel="length of an episode (steps)")
        below.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes[0, 0].set_ylabel("accuracy\n(dotted: without memory)")
    axes[1, 0].set_ylabel("saved for backward, a step (MB)\n(dotted: 8 GB; hollow: not run)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, **style.TIGHT)
    return figure


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(seeds=[1])
    titles = [problem.title for problem in PROBLEMS]
    parser.add_argument("--tasks", nargs="+", choices=titles, default=titles, help="only these; rows of others stay")
    parser.add_argument("--picture", type=Path, help="draw the rows here")
    options = parser.parse_args()
    options.seeds = options.seeds[:1]
    share = 0.01 if options.quick else 1.0
    columns = "task, length, method, chunk_length, accuracy, updates, seconds, saved_bytes, peak_rss_mb, ended"
    title = "The same networks trained by MemUP, truncated and full backpropagation"
    problems = QUICK if options.quick else [problem for problem in PROBLEMS if problem.title in options.tasks]
    rows: list[Row] = []
    for problem in problems:
        for row in compare(problem, share, options.threads, options.seeds[0]):
            rows = with_earlier([*rows, row], options, ("task", "length", "method"))
            print(f"{row['task']}-{row['length']} {row['method']}: {row['ended']}", flush=True)
            write_json(title, rows, options)  # after each run: a benchmark that is cut leaves what it has
    publish(title, rows, options, columns)
    if options.picture:
        draw(rows, options.picture)


if __name__ == "__main__":
    main()
