"""Verdict: callback that says at the end of a run what its memory learned, and what to try first where it did not."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console

from memup_lightning.callbacks import plots
from memup_lightning.callbacks.metrics import finite_tree
from memup_lightning.callbacks.overfitting.best_weights import BestWeights
from memup_lightning.callbacks.verdict.advice.train_longer import continued
from memup_lightning.callbacks.verdict.command import checkpoint_to_continue, whole_command, without_options
from memup_lightning.callbacks.verdict.measuring.history import Validation
from memup_lightning.callbacks.verdict.measuring.measure import measure
from memup_lightning.callbacks.verdict.measuring.measurements import Ending, Measurements
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.judge import judge
from memup_lightning.modules import MemoryTask
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT
from memup_lightning.runs.loggers import log_picture, wandb_loggers
from memup_lightning.runs.parts import find_callback, is_dev_run, leaves_files, recorded_data
from memup_lightning.runs.run_folder import nearby, run_folder
from memup_lightning.user_warnings import warn_user

_GAIN, _TRAIN_GAIN = "val/memory_gain", "train/memory_gain"
_NLL, _LOCAL_NLL = "val/nll", "val/local_nll"
_ERROR, _LOCAL_ERROR = "val/mse", "val/local_mse"


class Verdict(Callback):
    """Callback that measures the memory at the end of ``fit``, and prints what follows: a verdict, and one thing to try.

    It measures on rank zero, on up to 512 validation and 512 training episodes, in seconds: the memory gain
    against the number of steps between the state and the outcome (picture ``gain_curve.png``), what is uncertain without
    memory, the scale of the inputs. ``docs/when-it-does-not-learn.md`` has the rules. The command line adds one;
    :class:`~memup_lightning.callbacks.report.run_report.RunReport` writes it into ``summary.json``, and makes its own where
    the trainer has none. Of agents, which have returns, it says nothing.

    Attributes:
        measurements: of the last run; None where there are none.
        findings: of the last run; the first is the verdict.
        given: arguments of the command line that the run was started by, without the program's name; None: by Python.
        command: that follows the advice of the verdict; None where there are no options to give, or no command line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.measurements: Measurements | None = None
        self.findings: list[Finding] = []
        self.given: Sequence[str] | None = None
        self.command: str | None = None
        self._validations: list[Validation] = []
        self._concluded = False
        self._trained: bool | None = None  # in this fit; None: not known

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and not is_dev_run(trainer):
            run_folder(trainer)  # on all ranks: it asks rank zero, which later looks it up alone
            self._concluded = False
        self._trained = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trained = True  # not called where the checkpoint is at max_steps

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logged = trainer.callback_metrics
        if trainer.sanity_checking or _GAIN not in logged:
            return
        train_gain = explained = error_explained = None
        if _TRAIN_GAIN in logged:
            train_gain = float(logged[_TRAIN_GAIN])
        if logged.keys() >= {_NLL, _LOCAL_NLL}:
            explained = BITS_PER_NAT * float(logged[_LOCAL_NLL] - logged[_NLL])
        if logged.keys() >= {_ERROR, _LOCAL_ERROR} and logged[_LOCAL_ERROR] > 0:
            error_explained = 1 - float(logged[_ERROR] / logged[_LOCAL_ERROR])
        gain = float(logged[_GAIN])
        self.add(Validation(float(trainer.global_step), gain, train_gain, explained, error_explained))

    def add(self, validation: Validation) -> None:
        """Add what a validation logged."""
        self._validations.append(validation)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if leaves_files(trainer):
            self.conclude(trainer, pl_module)

    def conclude(self, trainer: Trainer, model: LightningModule, pictures: bool = True) -> None:
        """Measure, judge, draw and print, once a run; on rank zero.

        Args:
            trainer: of the run.
            model: as it is at the end.
            pictures: whether to draw.
        """
        data = recorded_data(trainer)
        if self._concluded or not isinstance(model, MemoryTask) or data is None or "train" not in data.splits:
            return
        self._concluded = True
        try:
            kept = find_callback(trainer, BestWeights)
            restored = kept if kept is not None and kept.restored else None
            logged = {name: float(x) for name, x in trainer.callback_metrics.items()}
            with trainer.precision_plugin.forward_context():
                measurements = measure(
                    model,
                    data,
                    trainer.global_step,
                    validations=self._validations,
                    metrics=logged if restored is None else logged | restored.metrics,
                    ending=Ending(
                        best=None if restored is None else restored.best,
                        fell=restored is not None and not restored.overfitted,
                        memorized=kept is not None and (kept.decay > 0 or bool(kept.columns)),
                    ),
                    read_columns=() if kept is None else kept.columns,
                )
            self.measurements = replace(measurements, checkpoint=checkpoint_to_continue(trainer))
            self.findings = self._untrained(trainer) + judge(self.measurements)
            self.command = None
            if self.given is not None and (advice := self.findings[0].try_first):
                resumed = trainer.ckpt_path is not None
                self.command = whole_command(self.given, advice, self.measurements.checkpoint, resumed)
            if pictures:
                self._draw(trainer)
        except Exception as error:  # a verdict that fails must not take a finished run with it
            warn_user(f"Verdict could not measure the run: {type(error).__name__}: {error}")
            return
        print_findings(self.findings, self.command)
        if (command := self._test_command(trainer)) is not None:
            print(command)
        for logger in wandb_loggers(trainer):
            logger.experiment.summary["verdict"] = self.findings[0].name
            logger.experiment.summary["verdict_sentence"] = self.findings[0].sentence

    def _untrained(self, trainer: Trainer) -> list[Finding]:
        """Say that a resumed run had nothing left to train."""
        assert self.measurements is not None
        updates = trainer.global_step
        if self._trained is not False or not 0 < trainer.max_steps <= updates:
            return []
        return [
            Finding(
                "not_trained",
                f"Nothing was trained: the checkpoint is at update {updates:,} already, and max_steps is "
                f"{trainer.max_steps:,}.",
                f"give a larger one: {continued(self.measurements, 2 * updates)}",
                {"updates": updates, "max_steps": trainer.max_steps},
            )
        ]

    def _test_command(self, trainer: Trainer) -> str | None:
        """Return the command that tests the weights the run ends with; None where no checkpoint holds them."""
        kept, home = find_callback(trainer, BestWeights), run_folder(trainer)
        config = home / "config.yaml"
        if kept is None or kept.written is None or not config.exists():
            return None
        # Not "best": a run that continues this one would be tested with this command later.
        weights = home if kept.written.parent.absolute() == (home / "checkpoints").absolute() else kept.written
        return f"test it: memup test --config {shlex.quote(nearby(config))} --ckpt_path {shlex.quote(nearby(weights))}"

    def summary(self) -> dict[str, Any] | None:
        """Return verdict, findings and measurements as plain values; None where nothing was measured."""
        if self.measurements is None or not self.findings:
            return None
        verdict: dict[str, Any] = finite_tree(
            {
                "name": self.findings[0].name,
                "command": self.command,
                "findings": [asdict(finding) for finding in self.findings],
                "measurements": self.measurements.to_dict(),
            }
        )
        return verdict

    def _draw(self, trainer: Trainer) -> None:
        from memup_lightning.callbacks.verdict.measuring.gain_curve import gain_curve

        assert self.measurements is not None
        if self.measurements.val is None and self.measurements.train is None:
            return
        path = run_folder(trainer) / "gain_curve.png"
        plots.style.save(gain_curve(self.measurements), path)
        log_picture(trainer, "gain_curve", path)

    def state_dict(self) -> dict[str, Any]:
        return {"validations": [asdict(x) for x in self._validations]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validations = [Validation(**x) for x in state_dict["validations"]]


def print_findings(findings: Sequence[Finding], command: str | None = None) -> None:
    """Print the verdict, what to try first, and what else was found.

    Args:
        findings: the first is the verdict.
        command: that follows its advice; None: the advice is printed with its options.
    """
    console = Console(highlight=False, soft_wrap=True)
    first, *others = findings
    console.print(f"verdict: {first.sentence}", markup=False)
    if first.try_first:
        advice = first.try_first if command is None else without_options(first.try_first)
        console.print(f"try first: {advice}", markup=False)
    if command is not None:
        print(f"try it: {command}")  # as it is: Rich would take some of it for emojis
    for finding in others:
        console.print(f"also: {finding.sentence}", markup=False)
