"""Every memory core under the same training: does it carry a hint over 1,000 steps, and ten symbols over 120?

    python -m benchmarks.memories [--quick] [--tasks T-Maze-LNR-1000 Copy-120] [--memories LSTM NTM ...] [--json PATH]

Every row is `fit` on conf/tmaze.yaml or conf/copy_120.yaml with another core, in a process of its own, within the same
number of updates for every core. A run ends when it is solved, evaluated on 256 validation episodes at full length. With
--json, a row that was measured before stays in the file until it is measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import fit_alone
from memup_lightning.datamodules import CopyDataModule, TMazeDataModule
from memup_lightning.models import memory
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import State
from memup_lightning.specs import TaskSpec


class Setting(NamedTuple):
    """A task of the table.

    Attributes:
        config: what is run.
        task: its fields.
        length: of its episodes.
        updates: at most.
        interval: updates between two evaluations.
        solved: accuracy at the end of the dependency from which a run counts as solved; its config ends it there.
        cores: name of a class -> its arguments, where they are not its own defaults.
        rates: name of a class -> learning rate, where it is not the config's.
    """

    config: str
    task: TaskSpec
    length: int
    updates: int
    interval: int
    solved: float
    cores: Mapping[str, Mapping[str, Any]]
    rates: Mapping[str, float]


NAMES = ("LSTM", "GRU", "SRNN", "AMRL", "MinGRU", "LRU", "XLSTM", "NTM", "DNC", "RMT", "GTrXL")
MAZE: dict[str, dict[str, Any]] = {name: {"hidden_size": 64} for name in NAMES} | {
    "LSTM": {"hidden_size": 64, "additive": False},
    "GTrXL": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "window": 512},  # two layers reach 1,024 steps back
    "MinGRU": {"hidden_size": 64, "num_layers": 2},
    "RMT": {"hidden_size": 64, "num_layers": 2},
}
COPY: dict[str, dict[str, Any]] = {name: {"hidden_size": 128} for name in NAMES} | {
    "LSTM": {"hidden_size": 128, "additive": False, "chrono": 120},
    "GRU": {"hidden_size": 128, "chrono": 120},
    "MinGRU": {"hidden_size": 128, "num_layers": 2},
    "XLSTM": {"hidden_size": 128, "num_layers": 2},  # one layer reads a token, and cannot know which one it is
    "GTrXL": {"hidden_size": 64, "num_layers": 2, "window": 140},
    "RMT": {"hidden_size": 64, "num_layers": 2, "memory_tokens": 10},
}
TRANSFORMERS = {"RMT": 1e-3, "GTrXL": 1e-3}  # at twice that RMT does not learn
SETTINGS = {
    "T-Maze-LNR-1000": Setting("conf/tmaze.yaml", TMazeDataModule().task, 1000, 4000, 250, 0.99, MAZE, TRANSFORMERS),
    "Copy-120": Setting(
        "conf/copy_120.yaml",
        CopyDataModule().task,
        120,
        8000,
        500,
        0.999,
        COPY,
        TRANSFORMERS | {"AMRL": 3e-3, "XLSTM": 1e-3},
    ),
}


def run(name: str, core: str, seed: int, threads: int | None, *overrides: str) -> Row:
    """One run, in a process of its own so that its seconds and bytes are its own."""
    setting = SETTINGS[name]
    given = setting.cores[core]
    options = [f"--model.init_args.memory.init_args.{key}={value}" for key, value in given.items()]
    if core in setting.rates:
        options.append(f"--model.init_args.optimizer.init_args.lr={setting.rates[core]}")
    summary, _ = fit_alone(
        setting.config,
        f"--model.init_args.memory={core}",
        *options,
        f"--data.init_args.length={setting.length}",
        f"--trainer.max_steps={setting.updates}",
        f"--trainer.val_check_interval={setting.interval}",
        *overrides,
        seed=seed,
        threads=threads,
    )
    accuracy = summary["metrics"]["val/accuracy"]
    return {
        "task": name,
        "memory": core,
        "arguments": dict(given),
        "solved": "yes" if accuracy >= setting.solved else "no",
        "accuracy": accuracy,
        "updates": summary["updates"],
        "seconds": summary["seconds_total"],
        **sizes(setting.task, core, given),
        "saved_bytes": summary["saved_tensor_bytes"],
        "seed": seed,
    }


def sizes(task: TaskSpec, core: str, given: Mapping[str, Any]) -> Row:
    """Parameters of a core on a task, and the bytes of one lane's state."""
    model = partial(getattr(memory, core), **given)(StepEncoder(task.input_fields).output_size)

    def size(state: State) -> int:
        return state.nbytes if isinstance(state, Tensor) else sum(size(part) for part in state)

    return {"parameters": sum(p.numel() for p in model.parameters()), "state_bytes": size(model.initial_state(1))}


def ordered(rows: list[Row]) -> list[Row]:
    """In the order of the tasks and cores above."""
    return sorted(rows, key=lambda row: (list(SETTINGS).index(row["task"]), NAMES.index(row["memory"])))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--memories", nargs="+", choices=NAMES, default=list(NAMES))
    parser.set_defaults(seeds=[1])
    options = parser.parse_args()
    short = ["--data.init_args.length=60", "--trainer.max_steps=300", "--trainer.val_check_interval=150"]
    rows: list[Row] = []
    columns = "task, memory, solved, accuracy, updates, seconds, parameters, state_bytes, saved_bytes"
    title = "MemUP with every memory core: state of one lane, and what a training step saves for its backward pass"
    for task in options.tasks[:1] if options.quick else options.tasks:
        for core in options.memories[:2] if options.quick else options.memories:
            for seed in options.seeds:
                rows.append(run(task, core, seed, options.threads, *(short if options.quick else [])))
                publish(title, ordered(with_earlier(rows, options, ("task", "memory", "seed"))), options, columns)


if __name__ == "__main__":
    main()
