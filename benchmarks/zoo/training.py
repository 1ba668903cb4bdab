"""One run of a problem: MemUP and its datamodule as they are by default, with the callbacks of the command line."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.loggers import CSVLogger

from benchmarks.report import Row
from benchmarks.zoo.problem import Problem
from memup_lightning.callbacks import BestWeights, RunReport
from memup_lightning.datamodules import EpisodeDataModule
from memup_lightning.modules import MemUP
from memup_lightning.runs import parts as run_parts

EXPLAINED = 0.95
"""Share of the explainable information at which a run ends."""


class ExplainedShare(Callback):
    """Records the explained share at each validation, and ends the run where it is enough or where time is up.

    Args:
        problem: what is learned.
        seconds: longest time of the run, of this process on a processor: other work on the machine does not count.

    Attributes:
        curve: updates, share of each validation.
    """

    def __init__(self, problem: Problem, seconds: float) -> None:
        self.problem = problem
        self.seconds = seconds
        self.curve: list[tuple[int, float]] = []
        self._began = time.process_time()

    @property
    def elapsed(self) -> float:
        """Seconds of the processor since this callback was made."""
        return time.process_time() - self._began

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.should_stop or self.elapsed > self.seconds

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: float(x) for name, x in trainer.callback_metrics.items()}
        share = self.problem.share(metrics, run_parts.parts(trainer).datamodule.task)
        self.curve.append((trainer.global_step, share))
        trainer.should_stop = trainer.should_stop or share >= EXPLAINED


def run(
    problem: Problem,
    seed: int,
    updates: int,
    seconds: float,
    parts: Mapping[str, Any],
    prepare: Callable[[EpisodeDataModule], None] = lambda data: None,
) -> Row:
    """Train on a problem, in this process.

    Args:
        problem: what is learned.
        seed: of weights and data.
        updates: at most.
        seconds: longest time.
        parts: options of the model that are not the default.
        prepare: changes settings of the datamodule.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        seed_everything(seed, verbose=False)
        share = ExplainedShare(problem, seconds)
        data = problem.data()
        prepare(data)
        trainer = Trainer(
            max_steps=updates,
            accelerator="cpu",
            logger=CSVLogger(folder),
            callbacks=[BestWeights(), share, RunReport(pictures=False)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(MemUP(data.task, **parts), datamodule=data)
        elapsed = share.elapsed
        assert trainer.logger is not None
        summary = json.loads((Path(str(trainer.logger.log_dir)) / "summary.json").read_text())
    metrics = summary["metrics"]
    return {
        "seed": seed,
        "share": problem.share(metrics, data.task) if share.curve else None,
        "updates": trainer.global_step,
        "seconds": elapsed,
        "accuracy": metrics.get("val/accuracy"),
        "without": metrics.get("val/local_accuracy"),
        "gain": metrics.get("val/memory_gain"),
        "recall": metrics.get("val/target_recall"),
        "verdict": (summary["verdict"] or {}).get("name"),
        "curve": share.curve,
    }


@contextlib.contextmanager
def _quiet() -> Any:
    """Leave out what a run prints, and Lightning's notes and warnings."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
