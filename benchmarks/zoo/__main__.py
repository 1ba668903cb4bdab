"""The zoo: many small tasks with known information, all with the same settings. What does the memory explain?

    python -m benchmarks.zoo [--quick] [--tasks T-Maze-100 ...] [--seeds 1 2 3] [--updates N] [--predictor NAME]
                              [--json PATH]

Every row is a run of MemUP with its defaults on a datamodule with its defaults: only the data differ. `explained` is the
share of the explainable information (`bits` of an evaluated step: what the whole past shows of the outcome and the local
context does not, known from the generator) that the memory explains on validation episodes, each outcome with the
state of its own step: of bits for classes, of the variance for numbers. It is measured against the exact local
uncertainty, so a bad local predictor cannot inflate it. A run ends when the share reaches 0.95, at its limit of updates
or after five minutes of the processor (`seconds`). `--predictor` takes another predictor than the default. `without` is
the accuracy without memory. Rows are written as they come; those of other tasks in the JSON file already are kept.
"""

from __future__ import annotations

from statistics import median

import torch

from benchmarks.report import Row, arguments, publish, with_earlier, write_json
from benchmarks.zoo.catalogue import PROBLEMS
from benchmarks.zoo.problem import Problem
from benchmarks.zoo.training import EXPLAINED, run
from memup_lightning.models.predictors import AdditivePredictor, FiLMPredictor, MultiplicativePredictor
from memup_lightning.modules.networks.factories import MemoryOptions

TITLE = "MemUP with one setting: worst of all seeds (updates, seconds: median)"
SECONDS = 300.0
PREDICTORS = {kind.__name__: kind for kind in (AdditivePredictor, FiLMPredictor, MultiplicativePredictor)}
QUICK = ("T-Maze-100", "early cue")


def gather(problem: Problem, runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds."""
    worst = min(runs, key=lambda one: -9 if one["share"] is None else one["share"])
    row: Row = {"task": problem.name, "about": problem.about, "bits": problem.bits, "explained": worst["share"]}
    row |= {key: median(one[key] for one in runs) for key in ("updates", "seconds")}
    row |= {key: worst[key] for key in ("accuracy", "without", "gain", "recall")}
    return row | {"verdict": worst["verdict"] or "", "runs": runs}


COLUMNS = "task, about, bits, explained, updates, seconds, accuracy, without, gain, recall, verdict"


def main(given: list[str] | None = None) -> list[Row]:
    """Run the benchmark; returns the rows of this call."""
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), metavar="NAME", help="rows")
    parser.add_argument("--updates", type=int, default=4000, help="limit of a run")
    parser.add_argument("--predictor", choices=PREDICTORS, help="in place of the default")
    options = parser.parse_args(given)
    parts: MemoryOptions = {"predictor": PREDICTORS[options.predictor]} if options.predictor else {}
    torch.set_num_threads(options.threads or 1)
    options.threads = options.threads or 1
    names = options.tasks
    if options.quick:
        names = QUICK if len(names) == len(PROBLEMS) else names[:2]
        options.seeds, options.updates = options.seeds[:1], min(options.updates, 1000)
    rows: list[Row] = []
    for name in names:
        runs: list[Row] = []
        for seed in options.seeds:
            runs.append(run(PROBLEMS[name], seed, options.updates, SECONDS, parts))
            print(f"{name}, seed {seed}: {_curve(runs[-1])}", flush=True)
        rows.append(gather(PROBLEMS[name], runs))
        write_json(TITLE, with_earlier(rows, options, ("task",)), options)
    every = with_earlier(rows, options, ("task",))
    publish(TITLE, every, options, COLUMNS)
    solved = sum((row["explained"] or 0) >= EXPLAINED for row in every)
    print(f"{solved} of {len(every)} tasks reach {EXPLAINED} with every seed.")
    return rows


def _curve(one: Row) -> str:
    steps = " ".join(f"{updates}:{share:.2f}" for updates, share in one["curve"])
    return f"explained {steps} in {one['seconds']:.0f} s, gain {one['gain']}, recall {one['recall']}"


if __name__ == "__main__":
    main()
