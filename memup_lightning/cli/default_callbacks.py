"""Callbacks of every run: those that the command line adds, and those of a config that a switch leaves out."""

from __future__ import annotations

from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import BasePredictionWriter, Checkpoint, ModelCheckpoint, ModelSummary, ProgressBar

from memup_lightning.callbacks import BestWeights, PredictionWriter, Progress, RunSummary, default_callbacks
from memup_lightning.callbacks.metrics import printed_names
from memup_lightning.cli.messages import import_path
from memup_lightning.runs.lightning_private import rename_printed_metrics
from memup_lightning.runs.parts import find_callback, parts

_SWITCHES: dict[str, type] = {
    "enable_progress_bar": ProgressBar,
    "enable_model_summary": ModelSummary,
    "enable_checkpointing": Checkpoint,
}
"""Switches of the trainer, and the callbacks that they are for."""


def leave_out_disabled(trainer: Namespace) -> None:
    """Leave out the progress bars, summaries or checkpoints of a config where the trainer's switch for them is off, as an
    override of a shipped config has it; Lightning refuses the two together."""
    for switch, base in _SWITCHES.items():
        if trainer.get(switch) is False and trainer.get("callbacks"):
            callbacks = [(x, import_path(x.class_path)) for x in trainer.callbacks]
            trainer.callbacks = [x for x, made in callbacks if not (isinstance(made, type) and issubclass(made, base))]


def add_default_callbacks(trainer: Trainer, predicts: bool) -> None:
    """Add a BestWeights, before all callbacks that report on the weights, a RunReport and, after it, a Verdict, before the
    checkpoints, which hold the state of all; each where the config has none. For ``predict`` a PredictionWriter."""
    used = parts(trainer).callbacks
    for callback in default_callbacks():
        if find_callback(trainer, type(callback)) is None:
            first = isinstance(callback, BestWeights)
            used.insert(0 if first else len(used) - len(trainer.checkpoint_callbacks), callback)
    if predicts and find_callback(trainer, BasePredictionWriter) is None:
        used.insert(0, PredictionWriter())


def make_checkpoint() -> ModelCheckpoint:
    """Make the checkpoint of a run whose config names none: ``last.ckpt``, replaced after every epoch and when training
    ends. BestWeights keeps the best weights."""
    return ModelCheckpoint(filename="last", save_on_train_epoch_end=True, enable_version_counter=False)


def replace_lightnings(trainer: Trainer, config: Namespace) -> None:
    """Let our own progress, summary and checkpoint take the place of those that Lightning adds where the config names
    none; and our names of metrics that of Lightning's in its table of ``validate`` and ``test``."""
    rename_printed_metrics(trainer, printed_names)
    named = [import_path(x.class_path) for x in config.callbacks or [] if isinstance(x, Namespace)]
    used = parts(trainer).callbacks
    for base, make in ((ProgressBar, Progress), (ModelSummary, RunSummary), (Checkpoint, make_checkpoint)):
        if not any(isinstance(x, type) and issubclass(x, base) for x in named):
            used[:] = [make() if isinstance(x, base) else x for x in used]
