"""T-Maze-LNR: how long may a dependency be, and how short the chunk that gradients cross?

    python -m benchmarks.tmaze [--quick] [--seeds 1 2 3] [--json PATH]

Every row is `fit` on conf/tmaze.yaml with another length and chunk length, in a process of its own; its figures are those
of the run's summary.json. A run ends when predictions at the junctions of 256 validation episodes of full length are >=
0.99 right, or at 10,000 updates.
"""

from __future__ import annotations

from benchmarks.report import Row, arguments, publish
from benchmarks.runs import fit_alone

SETTINGS = [(length, chunk) for length in (100, 1_000, 20_000) for chunk in (1, 10, 20)]
QUICK = [(100, 1), (100, 10)]
SOLVED = 0.99


def run(length: int, chunk_length: int, seed: int, threads: int | None, *overrides: str) -> Row:
    """One run, in a process of its own so that its peak memory is its own."""
    sizes = [f"--data.init_args.length={length}", f"--data.init_args.chunk_length={chunk_length}"]
    seldom = ["--trainer.val_check_interval=1000"] if length >= 10_000 else []
    budget = "--trainer.max_steps=10000"
    summary, _ = fit_alone("conf/tmaze.yaml", budget, *sizes, *seldom, *overrides, seed=seed, threads=threads)
    metrics = summary["metrics"]
    return {
        "length": length,
        "chunk_length": chunk_length,
        "seed": seed,
        "accuracy": metrics["val/accuracy"],
        "recall": metrics.get("val/target_recall"),
        "updates": summary["updates"],
        "seconds": summary["seconds_total"],
        "peak_rss_mb": summary["peak_rss_mb"],
        "saved_bytes": summary["saved_tensor_bytes"],
        "refresh_share": metrics.get("refresh/share_of_training"),
    }


def gather(runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds."""
    worst = {"accuracy": min, "recall": min, "peak_rss_mb": max, "saved_bytes": max, "refresh_share": max}
    row: Row = {key: runs[0][key] for key in ("length", "chunk_length")}
    row |= {key: pick(run[key] for run in runs) for key, pick in worst.items()}
    row["solved"] = f"{sum(run['accuracy'] >= SOLVED for run in runs)}/{len(runs)}"
    row["updates"] = [run["updates"] for run in runs]
    row["seconds"] = [round(run["seconds"], 1) for run in runs]
    row["runs"] = runs
    return row


def main() -> None:
    options = arguments(__doc__).parse_args()
    seeds = options.seeds[:1] if options.quick else options.seeds
    rows = []
    for length, chunk in QUICK if options.quick else SETTINGS:
        rows.append(gather([run(length, chunk, seed, options.threads) for seed in seeds]))
        print(f"T-Maze-LNR-{length}, r={chunk}: {rows[-1]['solved']} solved, {rows[-1]['updates']} updates", flush=True)
    columns = (
        "length, chunk_length, solved, accuracy, recall, updates, seconds, peak_rss_mb, saved_bytes, refresh_share"
    )
    title = (
        "T-Maze-LNR with conf/tmaze.yaml: median (range) over seeds; accuracy, recall: worst; memory, share: largest"
    )
    publish(title, rows, options, columns)


if __name__ == "__main__":
    main()
