"""Each default switched off in turn, over some tasks of the zoo: what does it earn?

    python -m benchmarks.zoo.ablation [--quick] [--tasks warehouse ...] [--without replay ...] [--seeds 1]
        [--updates 2500] [--json PATH]

Every cell is a run of MemUP with its defaults but one, until a share of 0.95 of the explainable information, the limit of
updates, or two minutes of the processor: `updates` where it was reached, else the share at the end. With --json, columns
that were not measured again stay in the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import torch

from benchmarks.report import Row, arguments, publish, with_earlier, write_json
from benchmarks.zoo.catalogue import PROBLEMS
from benchmarks.zoo.training import EXPLAINED, run
from memup_lightning.chunk import StepBatch
from memup_lightning.data.targets import Proportional
from memup_lightning.datamodules import EpisodeDataModule
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import LSTM
from memup_lightning.models.outcomes import Outcome
from memup_lightning.models.predictors import FiLMPredictor, MultiplicativePredictor
from memup_lightning.models.uncertainty import LocalPredictor
from memup_lightning.modules import MemoryAdam, losses, memory_task, weight_average

TITLE = "The zoo without one default: updates until 0.95 of the explainable information, or the share at the end"
SECONDS = 120.0
TASKS = ("T-Maze-1000", "10 to 5,000 steps", "warehouse", "late cue", "exclusive or", "switch", "raw sensors")
QUICK = "late cue"


@dataclass(frozen=True)
class Variant:
    """The defaults but one.

    Attributes:
        parts: options of the model.
        prepare: changes settings of the datamodule.
        patch: what no setting switches off.
    """

    parts: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[EpisodeDataModule], None] = lambda data: None
    patch: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext


def _without_replay(data: EpisodeDataModule) -> None:
    data.default_schedule = lambda: False  # type: ignore[method-assign]


def _with_64_lanes(data: EpisodeDataModule) -> None:
    data.default_lanes = lambda: 64  # type: ignore[method-assign]


def _to_the_end(data: EpisodeDataModule) -> None:
    data.restart = [0.0]


def _selecting(selector: Any, data: EpisodeDataModule) -> None:
    data.selector = selector


@contextlib.contextmanager
def _unweighted() -> Iterator[None]:
    def unweighted(outcome: Outcome, local: LocalPredictor, probes: StepBatch, weighted: Any) -> Any:
        return plain(outcome, local, probes, False)

    plain = losses.probe_loss
    with mock.patch.object(memory_task, "probe_loss", unweighted):
        yield


VARIANTS: dict[str, Variant] = {
    "none": Variant(),
    "replay": Variant(prepare=_without_replay),
    "horizons": Variant(prepare=_to_the_end),
    "256 lanes": Variant(prepare=_with_64_lanes),
    "four points": Variant({"predict_every": 1}),
    "many targets": Variant(prepare=partial(_selecting, Proportional(4, margin=0.3))),
    "margin": Variant(prepare=partial(_selecting, Proportional(16))),
    "own step": Variant({"current_step": False}),
    "scaled features": Variant(patch=lambda: mock.patch.object(StepEncoder, "fit_features")),
    "falling rate": Variant({"lr_scheduler": None}),
    "decay": Variant({"optimizer": partial(MemoryAdam, predictor_decay=0.0)}),
    "additive": Variant({"memory": partial(LSTM, additive=False)}),
    "second part": Variant({"predictor": MultiplicativePredictor}),
    "distance": Variant({"predictor": partial(FiLMPredictor, distance=False)}),
    "average": Variant(patch=lambda: mock.patch.object(weight_average, "_GAMMA", 1e9)),
    "scaling": Variant(patch=lambda: mock.patch.object(memory_task, "fit_standardizers", return_value=None)),
    "weights": Variant(patch=_unweighted),
}
"""By the default that is missing."""


def gather(without: str, results: dict[str, list[Row]]) -> Row:
    """One row of the table: of each task the median of the updates, where all seeds came there, else the least share."""
    row: Row = {"without": without}
    for task, runs in results.items():
        shares = [one["share"] if one["share"] is not None else -1.0 for one in runs]
        row[task] = int(median(one["updates"] for one in runs)) if min(shares) >= EXPLAINED else min(shares)
    return row | {
        "runs": {
            task: [{k: one[k] for k in ("seed", "share", "updates", "seconds", "curve")} for one in runs]
            for task, runs in results.items()
        }
    }


def main(given: list[str] | None = None) -> list[Row]:
    """Run the benchmark; returns the rows of this call."""
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="+", choices=PROBLEMS, default=list(TASKS), metavar="NAME", help="columns")
    parser.add_argument("--without", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME", help="rows")
    parser.add_argument("--updates", type=int, default=2500, help="limit of a run")
    options = parser.parse_args(given)
    options.threads = options.threads or 1
    torch.set_num_threads(options.threads)
    if options.quick:
        options.seeds, options.updates = options.seeds[:1], min(options.updates, 500)
        options.tasks, options.without = [QUICK], options.without[:2]
    rows: list[Row] = []
    for without in options.without:
        variant, results = VARIANTS[without], dict[str, list[Row]]()
        for task in options.tasks:
            for seed in options.seeds:
                with variant.patch():
                    one = run(PROBLEMS[task], seed, options.updates, SECONDS, variant.parts, variant.prepare)
                results.setdefault(task, []).append(one)
                print(f"without {without}: {task}, seed {seed}: {one['share']} at {one['updates']}", flush=True)
        rows.append(gather(without, results))
        write_json(TITLE, with_earlier(rows, options, ("without",)), options)
    publish(TITLE, with_earlier(rows, options, ("without",)), options, ", ".join(["without", *options.tasks]))
    return rows


if __name__ == "__main__":
    main()
