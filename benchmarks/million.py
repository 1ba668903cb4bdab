"""A dependency of a million steps while gradients cross one: conf/tmaze_1m.yaml.

    python -m benchmarks.million [--quick] [--seeds 1 2 3] [--json PATH]

Every run is `fit` on the config, in a process of its own; its figures are those of the run's summary.json. 64 validation
episodes are evaluated at their full length. `--quick`: a corridor of 100,000 steps.
"""

from __future__ import annotations

from benchmarks.report import Row, arguments, publish
from benchmarks.runs import fit_alone

CONFIG = "conf/tmaze_1m.yaml"
LENGTH, QUICK_LENGTH = 1_000_000, 100_000


def run(length: int, seed: int, threads: int | None) -> Row:
    """One run of the config."""
    summary, _ = fit_alone(CONFIG, f"--data.init_args.length={length}", seed=seed, threads=threads)
    return {
        "length": length,
        "seed": seed,
        "accuracy": summary["metrics"]["val/accuracy"],
        "updates": summary["updates"],
        "seconds": summary["seconds_total"],
        "seconds_training": summary["seconds_training"],
        "peak_rss_mb": summary["peak_rss_mb"],
        "saved_bytes": summary["saved_tensor_bytes"],
    }


def main() -> None:
    options = arguments(__doc__).parse_args()
    seeds = options.seeds[:1] if options.quick else options.seeds
    rows = []
    for seed in seeds:
        rows.append(run(QUICK_LENGTH if options.quick else LENGTH, seed, options.threads))
        print(f"seed {seed}: accuracy {rows[-1]['accuracy']:.3f}, {rows[-1]['seconds']:.0f} s", flush=True)
    columns = "length, seed, accuracy, updates, seconds, seconds_training, peak_rss_mb, saved_bytes"
    publish(f"{CONFIG}: T-Maze-LNR in chunks of one step", rows, options, columns)


if __name__ == "__main__":
    main()
