"""Progress: a bar on a terminal, one line an evaluation elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.trainer.states import TrainerFn

from memup_lightning.callbacks.metrics import accuracy_name, last_metrics
from memup_lightning.protocols import ChunkLearner
from memup_lightning.runs.parts import recorded_data

_REDRAWN = 20  # updates between two redraws of the bar
_SILENCE = 60.0  # seconds after which a line says how far the run is, without an evaluation too
_VALIDATION = "val/"
_FORMS: dict[str, tuple[str | None, str, str]] = {  # what a line contains: how it names a metric, and how it writes it
    "val/memory_gain": ("memory gain", ".2f", " bits"),
    "val/accuracy": (None, ".3f", ""),
    "val/mse": ("squared error", ".4g", ""),
    "val/return": ("return", ".2f", ""),
    "val/success": ("success", ".3f", ""),
    "train/return": ("return in training", ".2f", ""),
    "train/loss": ("loss", ".3g", ""),
}


class Progress(TQDMProgressBar):
    """Callback that shows how far a run is: a bar on a terminal and in a notebook, else a line an evaluation.

    Where there is no evaluation for a minute, a line comes all the same; it says of which update the last evaluation was.
    The command line adds it where the config has no progress bar; ``--trainer.enable_progress_bar=false`` leaves it out.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=_REDRAWN)
        self._draws = sys.stdout.isatty() or "ipykernel" in sys.modules
        self._last = (0.0, 0)  # seconds and updates of the last line
        self._validated = 0  # update of the last validation; 0: there was none

    @property
    def is_enabled(self) -> bool:
        """Whether a bar is drawn."""
        return self._draws and super().is_enabled

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return what the bar shows: not the number of the run, which the table names with its folder."""
        return {name: x for name, x in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

    def on_train_start(self, *args: Any) -> None:
        super().on_train_start(*args)
        self._last = time.perf_counter(), self.trainer.global_step
        self._validated = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        super().on_train_batch_start(trainer, pl_module, *args)
        # Not at the batch's end: an evaluation may come then, and print its own line of the same update.
        late = time.perf_counter() - self._last[0] > _SILENCE
        if late and not self._draws and trainer.global_step > self._last[1]:
            self._print(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if self._draws:
            super().on_train_batch_end(trainer, pl_module, *args)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if not self._draws and trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._validated = trainer.global_step
            self._print(trainer)

    def _print(self, trainer: Trainer) -> None:
        if not (trainer.is_global_zero and self._enabled):
            return
        seconds, updates = self._last
        self._last = time.perf_counter(), trainer.global_step
        rate = (self._last[1] - updates) / max(self._last[0] - seconds, 1e-9)
        metrics = last_metrics(trainer)
        fresh = self._validated == self._last[1]
        found = _shown(metrics, lambda name: fresh or not name.startswith(_VALIDATION))
        module, data = trainer.lightning_module, recorded_data(trainer)
        if isinstance(module, ChunkLearner) and module.needs_targets() and data is not None and data.awaits_selection():
            found.append("no targets chosen yet")
        if rate:  # none where there was no update since the line before
            found.append(f"{rate:,.0f} updates/s" if rate >= 10 else f"{rate:.2g} updates/s")
        line = f"update {self._last[1]:,}: {', '.join(found)}"
        if not fresh and self._validated and (before := _shown(metrics, lambda name: name.startswith(_VALIDATION))):
            line += f" ({', '.join(before)} at update {self._validated:,})"
        print(line, flush=True)


def _shown(metrics: Mapping[str, float | None], counts: Callable[[str], bool]) -> list[str]:
    """Format the metrics of a line whose names count."""
    return [
        f"{label or accuracy_name(metrics)} {metrics[name]:{form}}{unit}"
        for name, (label, form, unit) in _FORMS.items()
        if counts(name) and metrics.get(name) is not None
    ]
