"""Interference: how many cues does each memory core hold at once, and what may come between?

    python -m benchmarks.interference [--quick] [--modes "in turn" nested ...] [--cores LSTM GRU ...]
                                      [--lengths 1000 100000] [--updates 3000] [--seeds 1] [--json PATH]

Every rung of a ladder is `fit` on conf/interference.yaml with a core and a number of cues N = 1, 2, 4, 8, 16, in a process
of its own; all else is the default of its class. A rung is climbed when 0.99 of the rewards at the junctions of the
validation episodes (256, or 64 of 100,000 steps) are predicted within the tolerance, and its run ends there. A run that
does not come there within `--updates` ends its ladder. With --json, a row that was measured before stays in the file
until it is measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import fit_alone
from memup_lightning.envs.maze import RIGHT_TURN, WRONG_TURN

MODES = {
    "in turn": [],
    "nested": ["--data.init_args.order=nested"],
    "overwritten": ["--data.init_args.overwrites=1"],
    "coins": ["--data.init_args.coins=4"],
}
"""Modes of the task, and their arguments."""
CORES = ("LSTM", "GRU", "MinGRU", "SRNN", "AMRL", "XLSTM", "NTM", "DNC", "GTrXL", "RMT", "LRU")
LADDER = (1, 2, 4, 8, 16)
SOLVED = 0.99
VARIANCE = ((RIGHT_TURN - WRONG_TURN) / 2) ** 2  # of the reward of a junction, both turns alike
LONG = 100_000  # steps from which on fewer episodes validate
STOP = ["EarlyStopping", "monitor=val/accuracy", "mode=max", f"stopping_threshold={SOLVED}", "patience=1000"]


def climb(mode: str, length: int, core: str, seed: int, updates: int, threads: int | None) -> Row:
    """One row: the ladder of a core up to the first rung that it does not climb."""
    few = ["--data.init_args.num_val=64"] if length >= LONG else []
    stop = [f"--trainer.callbacks+={STOP[0]}", *(f"--trainer.callbacks.{argument}" for argument in STOP[1:])]
    rungs: list[Row] = []
    for cues in LADDER:
        summary, evaluations = fit_alone(
            "conf/interference.yaml",
            f"--model.init_args.memory={core}",
            f"--data.init_args.length={length}",
            f"--data.init_args.cues={cues}",
            f"--trainer.max_steps={updates}",
            *[*MODES[mode], *few, *stop],
            seed=seed,
            threads=threads,
        )
        metrics = summary["metrics"]
        rung = {"cues": cues, "accuracy": metrics["val/accuracy"], "gain": metrics.get("val/memory_gain")}
        rung |= {"updates": summary["updates"], "seconds": summary["seconds_total"]}
        rung |= {"explained": _explained(metrics)}
        rungs.append(rung | {"curve": [[x["updates"], x["val/accuracy"], _explained(x)] for x in evaluations]})
        print(f"{core}, {mode}, {length:,} steps, seed {seed}: {rungs[-1]}", flush=True)
        if rung["accuracy"] < SOLVED:
            break
    return {
        "mode": mode,
        "length": length,
        "memory": core,
        "seed": seed,
        "limit": updates,
        **_summary(rungs),
        "rungs": rungs,
    }


def _explained(metrics: Mapping[str, Any]) -> float:
    """The share of the variance of the rewards at junctions that an evaluation explains."""
    left: float = metrics["val/mse"] / VARIANCE
    return 1 - left


def _summary(rungs: list[Row]) -> Row:
    """The last rung that was climbed, and the first that was not."""
    climbed = [rung for rung in rungs if rung["accuracy"] >= SOLVED]
    missed = rungs[len(climbed) :]
    return {
        "largest": climbed[-1]["cues"] if climbed else 0,
        "updates": climbed[-1]["updates"] if climbed else None,
        "missed": missed[0]["cues"] if missed else None,
        "accuracy": missed[0]["accuracy"] if missed else None,
        "explained": missed[0].get("explained") if missed else None,
        "seconds": sum(rung["seconds"] for rung in rungs),
    }


def ordered(rows: list[Row]) -> list[Row]:
    """In the order of the modes, lengths and cores."""
    return sorted(rows, key=lambda row: (list(MODES).index(row["mode"]), row["length"], CORES.index(row["memory"])))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--cores", nargs="+", choices=CORES, default=list(CORES))
    parser.add_argument("--lengths", type=int, nargs="+", default=[1000])
    parser.add_argument("--updates", type=int, default=3000, help="limit of a run")
    parser.set_defaults(seeds=[1])
    options = parser.parse_args()
    if options.quick:
        options.modes, options.cores, options.lengths, options.updates = options.modes[:1], options.cores[:1], [40], 200
    rows: list[Row] = []
    columns = "mode, length, memory, seed, limit, largest, updates, missed, accuracy, explained, seconds"
    title = "The largest number of cues of which 0.99 of the junctions are predicted, and the first that is missed"
    for mode in options.modes:
        for length in options.lengths:
            for core in options.cores:
                for seed in options.seeds:
                    rows.append(climb(mode, length, core, seed, options.updates, options.threads))
                    merged = with_earlier(rows, options, ("mode", "length", "memory", "seed"))
                    publish(title, ordered(merged), options, columns)


if __name__ == "__main__":
    main()
