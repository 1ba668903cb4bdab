"""MemUP against online gradients: the same core with an element-wise recurrence, trained by MemUP, RTRL and TBPTT.

    python -m benchmarks.online_gradients [--quick] [--tasks T-Maze-100 ...] [--seeds 1 2 3] [--json PATH]

Every row is `fit` on a shipped config in a process of its own with one layer of LRU or MinGRU. Networks, chunks, lanes,
learning rate and the number of updates, at most, are the same for all methods, and gradients are clipped at 1. A run ends
when the config says that it is learned, or after its updates. As in benchmarks.comparison, RTRL and TBPTT have their loss
at the evaluated steps alone, which they know and MemUP must find, and their lanes play every episode to its end; MemUP's
lanes restart and go back as its configs have them. Processor seconds count the start of the process and evaluations too.

Adding multiplies a number by its mark. LRU is linear in its inputs and cannot, so that task has MinGRU. With --json, a row
that was measured before stays in the file until it is measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from torch import Tensor

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import fit_alone, processor_seconds
from memup_lightning.datamodules import AddingDataModule, CopyDataModule, TMazeDataModule
from memup_lightning.models import memory
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import DiagonalMemory, State
from memup_lightning.specs import TaskSpec

METHODS = ("MemUP", "RTRL", "TBPTT")
HIDDEN = 64
MEMORY, DATA = "--model.init_args.memory", "--data.init_args"
SCHEDULES = {
    "conf/copy_120.yaml": "--model.init_args.lr_scheduler.init_args.T_max={updates}",
    "conf/adding.yaml": "--model.init_args.lr_scheduler.init_args.total_steps={updates}",
}


def accuracy(metrics: Mapping[str, float]) -> float:
    """Share of the outcomes that are right, or within a tenth of their spread."""
    return metrics["val/accuracy"]


def explained(metrics: Mapping[str, float]) -> float:
    """Share of the outcomes' variance that the predictions explain."""
    return 1 - metrics["val/mse"] / metrics["val/mean_mse"]


class Problem(NamedTuple):
    """A task of the table.

    Attributes:
        config: its file.
        task: its fields.
        core: of the memory.
        length: of an episode.
        chunk_length: r.
        updates: at most.
        options: of all methods, in addition to the config.
        score: what was learned, from the metrics of the last evaluation.
    """

    config: str
    task: TaskSpec
    core: str
    length: int
    chunk_length: int
    updates: int
    options: Sequence[str] = ()
    score: Callable[[Mapping[str, float]], float] = accuracy


RATE = ["--model.init_args.optimizer.init_args.lr=0.002"]  # copy's 0.01 is for an LSTM
MAZE = ("conf/tmaze.yaml", TMazeDataModule().task)
COPY = ("conf/copy_120.yaml", CopyDataModule().task)
PROBLEMS = {
    "T-Maze-100": Problem(*MAZE, "LRU", 100, 10, 2_000),
    "T-Maze-1000": Problem(*MAZE, "LRU", 1_000, 10, 2_000),
    "Copy-30": Problem(*COPY, "LRU", 30, 10, 2_000, RATE),
    "Copy-120": Problem(*COPY, "LRU", 120, 20, 2_000, RATE),
    "Adding-200": Problem("conf/adding.yaml", AddingDataModule().task, "MinGRU", 200, 20, 2_000, (), explained),
}


def run(name: str, problem: Problem, method: str, seeds: Sequence[int], threads: int | None) -> Row:
    """One row: a run for each seed, in a process of its own so that its seconds and bytes are its own."""
    options = [
        f"--model={method}",
        f"{MEMORY}={problem.core}",
        f"{MEMORY}.init_args.hidden_size={HIDDEN}",
        f"{MEMORY}.init_args.num_layers=1",
        f"{DATA}.length={problem.length}",
        f"{DATA}.chunk_length={problem.chunk_length}",
        f"{DATA}.num_val=256",
        f"--trainer.max_steps={problem.updates}",
        f"--trainer.val_check_interval={max(1, problem.updates // 4)}",
        "--trainer.gradient_clip_val=1.0",
        *problem.options,
    ]
    if problem.config in SCHEDULES:
        options.append(SCHEDULES[problem.config].format(updates=problem.updates))
    if method != "MemUP":
        options.append(f"{DATA}.restart=[0.0]")
    summaries, processor = [], []
    for seed in seeds:
        used = processor_seconds()
        summaries.append(fit_alone(problem.config, *options, seed=seed, threads=threads).summary)
        processor.append(processor_seconds() - used)
    return {
        "task": name,
        "core": problem.core,
        "chunk_length": problem.chunk_length,
        "method": method,
        "score": [problem.score(summary["metrics"]) for summary in summaries],
        "updates": [summary["updates"] for summary in summaries],
        "seconds": [summary["seconds_training"] for summary in summaries],
        "processor_seconds": processor,
        "updates_per_s": [summary["updates"] / summary["seconds_training"] for summary in summaries],
        "lane_bytes": lane_bytes(problem, method),
        "saved_bytes": summaries[0]["saved_tensor_bytes"],
        "seeds": list(seeds),
    }


def lane_bytes(problem: Problem, method: str) -> int:
    """Bytes that a lane carries from chunk to chunk: the state, and with RTRL its sensitivities."""
    make = partial(getattr(memory, problem.core), hidden_size=HIDDEN, num_layers=1)
    core: DiagonalMemory = make(StepEncoder(problem.task.input_fields).output_size)

    def size(state: State) -> int:
        return state.nbytes if isinstance(state, Tensor) else sum(size(part) for part in state)

    return size(core.initial_state(1)) + (size(core.initial_sensitivities(1)) if method == "RTRL" else 0)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), help="only these")
    options = parser.parse_args()
    columns = "task, core, method, score, updates, seconds, processor_seconds, updates_per_s, lane_bytes, saved_bytes"
    title = "One layer with an element-wise recurrence: accuracy, or share of the variance that is explained (adding)"
    rows: list[Row] = []
    for name in options.tasks[:1] if options.quick else options.tasks:
        problem, seeds = PROBLEMS[name], options.seeds
        if options.quick:
            problem, seeds = problem._replace(length=20, updates=20), seeds[:1]
        for method in METHODS:
            rows.append(run(name, problem, method, seeds, options.threads))
            every = with_earlier(rows, options, ("task", "method"))
            every.sort(key=lambda row: (list(PROBLEMS).index(row["task"]), METHODS.index(row["method"])))
            publish(title, every, options, columns)


if __name__ == "__main__":
    main()
