"""RunReport: callback that writes ``summary.json`` and pictures, and prints a table at the end of a run."""

from __future__ import annotations

import json
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

import memup_lightning
from memup_lightning.callbacks import plots
from memup_lightning.callbacks.memory_usage import MemoryUsage, extrapolate, mean_episode_length, peak_resident_mb
from memup_lightning.callbacks.metrics import divergence, finite_tree, last_metrics
from memup_lightning.callbacks.overfitting.best_weights import BestWeights
from memup_lightning.callbacks.report.tables import print_clusters, print_summary
from memup_lightning.callbacks.verdict.measuring.history import Validation
from memup_lightning.callbacks.verdict.verdict import Verdict
from memup_lightning.files import atomic_write
from memup_lightning.modules import MemUP
from memup_lightning.modules.targets.refresh import TargetRefresh
from memup_lightning.protocols import TargetLearner
from memup_lightning.runs.loggers import log_picture
from memup_lightning.runs.parts import find_callback, leaves_files, recorded_data, run_data
from memup_lightning.runs.run_folder import run_folder
from memup_lightning.runs.run_verdict import SUMMARY
from memup_lightning.user_warnings import warn_user


class RunReport(Callback):
    """Callback that writes ``summary.json`` into the run folder, and pictures there and to Weights & Biases, after
    ``fit``.

    A run that ends by an exception or an interrupt leaves a summary too, unless its data could not be set up:
    ``finished`` is false, ``reason`` says why, what was not known yet is null. The summary is written as a whole or not
    at all. ``fast_dev_run`` leaves nothing.

    ``seconds_total`` counts from the making of this callback (the command line makes it just before model and data) to
    the end, ``seconds_training`` only updates and what happens between them, without evaluation. A resumed run adds
    the seconds of the runs before it. ``peak_rss_mb`` is in 10^6 bytes.

    It brings a :class:`Verdict` where the trainer has none. Where a :class:`BestWeights` restored weights, metrics and
    pictures are theirs.

    Pictures: ``learning_curve.png``, ``gain_curve.png``, ``uncertainty.png`` (the first validation episode, for MemUP),
    ``frames.png`` (of the same episode, where it is uncertain, if it has images), ``clusters.png`` (where the selector
    distinguishes context clusters) and ``memory.png`` (where a :class:`MemoryUsage` measured).

    Args:
        pictures: whether to draw.

    Attributes:
        history: one row an evaluation: ``updates``, ``seconds`` (of the run, until then) and every metric ``val/...``.
    """

    def __init__(self, pictures: bool = True) -> None:
        super().__init__()
        self.pictures = pictures
        self.history: list[dict[str, float]] = []
        self._folder: Path | None = None
        self._began = time.perf_counter()
        self._fits = 0
        self._earlier_total = self._earlier_training = 0.0
        self._training: float | None = None  # when the training loop began
        self._evaluation: float | None = None  # when the running evaluation began
        self._paused = 0.0  # seconds of the training loop spent in evaluation
        self._trained = 0.0  # seconds of training, once the loop has ended

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._folder = run_folder(trainer)  # on all ranks: it asks rank zero
            if self._fits:
                self._began = time.perf_counter()
            self._fits += 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training, self._paused = time.perf_counter(), 0.0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._evaluation = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        began, self._evaluation = self._evaluation, None
        if self._training is None or trainer.sanity_checking:
            return
        metrics = {name: x for name, x in last_metrics(trainer).items() if name.startswith("val/") and x is not None}
        self.history.append({"updates": float(trainer.global_step), "seconds": self.seconds_total} | metrics)
        assert began is not None
        self._paused += time.perf_counter() - began

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trained, self._training = self.seconds_training, None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if leaves_files(trainer):
            assert self._folder is not None
            if self.pictures:
                try:
                    self._draw(trainer, pl_module)
                except Exception as error:  # a picture that fails must not take a finished run with it
                    warn_user(f"RunReport could not draw all pictures: {type(error).__name__}: {error}")
            summary = self.summary(trainer)
            if summary["diverged"]:
                warn_user(f"the run diverged: {summary['diverged']}; give a smaller learning rate or clip gradients")
            data = run_data(trainer)
            steps = "environment steps" if data is None else data.steps_name
            print_summary(summary, self._folder, steps, has_targets=isinstance(pl_module, MemUP))
            if summary["clusters"]:
                print_clusters(summary["clusters"])
            summary["verdict"] = self._verdict(trainer, pl_module)
            write_json(self._folder / SUMMARY, summary)

    def _verdict(self, trainer: Trainer, model: LightningModule) -> dict[str, Any] | None:
        verdict = find_callback(trainer, Verdict)
        if verdict is None:
            verdict = Verdict()
            for row in self.history:
                if "val/memory_gain" in row:
                    verdict.add(Validation(float(row["updates"]), row["val/memory_gain"]))
        verdict.conclude(trainer, model, self.pictures)
        return verdict.summary()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._folder is None or trainer.state.fn != TrainerFn.FITTING or not leaves_files(trainer):
            return
        try:
            reason = ": ".join(filter(None, (type(exception).__name__, str(exception))))
            write_json(self._folder / SUMMARY, self.summary(trainer, reason))
        except Exception as error:  # what ended the run is what the user must see
            warn_user(f"RunReport could not write summary.json: {type(error).__name__}: {error}")

    @property
    def seconds_total(self) -> float:
        """Seconds of the run so far, those before it was resumed included."""
        return self._earlier_total + time.perf_counter() - self._began

    @property
    def seconds_training(self) -> float:
        """Seconds spent in training alone: without set-up, evaluation and pictures."""
        if self._training is None:
            return self._trained
        return self._earlier_training + (self._evaluation or time.perf_counter()) - self._training - self._paused

    def summary(self, trainer: Trainer, reason: str | None = None) -> dict[str, Any]:
        """Summarize the run up to now.

        Args:
            trainer: of the run.
            reason: why it ended too early, if it did.
        """
        data = run_data(trainer)
        usage = find_callback(trainer, MemoryUsage)
        seed = os.environ.get("PL_GLOBAL_SEED")
        kept = find_callback(trainer, BestWeights)
        restored = kept is not None and kept.restored
        return {
            "finished": reason is None,
            "reason": reason or _early_stop(trainer),
            "diverged": divergence(self.history),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": None if data is None else data.label,
            "metrics": last_metrics(trainer) | (finite_tree(kept.metrics) if kept is not None and restored else {}),
            "best": None
            if kept is None or kept.best is None
            else {
                "updates": kept.best[0],
                "memory_gain": kept.best[1],
                "restored": restored,
            },
            "clusters": _cluster_rows(trainer.lightning_module),
            "verdict": None,
            "updates": trainer.global_step,
            "seconds_total": round(self.seconds_total, 3),
            "seconds_training": round(self.seconds_training, 3),
            "environment_steps": None if data is None else data.num_environment_steps(),
            "peak_rss_mb": round(peak_resident_mb(), 1),
            "saved_tensor_bytes": usage.saved_tensor_bytes if usage else None,
            "seed": int(seed) if seed else None,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "pytorch_lightning": version("pytorch_lightning"),
                "memup_lightning": memup_lightning.__version__,
                "gymnasium": gymnasium.__version__,
                "numpy": np.__version__,
            },
            "machine": machine(),
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": self.history,
            "seconds_total": self.seconds_total,
            "seconds_training": self.seconds_training,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = list(state_dict["history"])
        self._earlier_total = state_dict["seconds_total"]
        self._earlier_training = state_dict["seconds_training"]

    def _draw(self, trainer: Trainer, model: LightningModule) -> None:
        figures = {}
        if self.history:
            figures["learning_curve"] = plots.pictures.learning_curve(self.history, _first_selection(trainer))
        data = recorded_data(trainer)
        if isinstance(model, MemUP) and data is not None:
            timeline = plots.timeline.follow_episode(model, data)
            figures["uncertainty"] = plots.episode.uncertainty(timeline)
            if timeline.frames:
                figures["frames"] = plots.episode.frames(timeline)
            if rows := _cluster_rows(model):
                figures["clusters"] = plots.pictures.clusters(rows, model.uncertainty_unit)
        usage, length = find_callback(trainer, MemoryUsage), mean_episode_length(trainer)
        if usage is not None and usage.saved_tensor_bytes and length is not None and data is not None:
            bptt = usage.bptt_bytes
            lanes = data.lanes // trainer.world_size  # those of this rank, which were measured
            figures["memory"] = plots.pictures.memory(
                usage.saved_tensor_bytes, data.chunk_length, lanes, bptt, lambda x: extrapolate(bptt, x), length
            )
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            path = self._folder / f"{name}.png"
            plots.style.save(figure, path)
            log_picture(trainer, name, path)


def machine() -> dict[str, Any]:
    """Describe the machine: processor, number of cores that this process may use, torch's threads, GPU."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": model, "cores": cores, "torch_threads": torch.get_num_threads(), "gpu": gpu}


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file as a whole or not at all: a reader never sees half of it."""
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _early_stop(trainer: Trainer) -> str | None:
    """Return why EarlyStopping ended the run, if it did."""
    if not trainer.should_stop:
        return None
    stopping = [*trainer.early_stopping_callbacks, find_callback(trainer, BestWeights)]
    found = (getattr(callback, "stopping_reason_message", None) for callback in stopping)
    return next((message for message in found if message), None)


def _first_selection(trainer: Trainer) -> int | None:
    refresh = find_callback(trainer, TargetRefresh)
    return None if refresh is None else refresh.first_update


def _cluster_rows(model: LightningModule) -> list[dict[str, Any]] | None:
    return model.cluster_summary() if isinstance(model, TargetLearner) else None
