"""Callbacks that the command line adds, for runs in Python."""

from __future__ import annotations

from pytorch_lightning import Callback

from memup_lightning.callbacks.overfitting.best_weights import BestWeights
from memup_lightning.callbacks.report.run_report import RunReport
from memup_lightning.callbacks.verdict.verdict import Verdict


def default_callbacks() -> list[Callback]:
    """Make the callbacks that ``memup fit`` adds to every run: ``Trainer(callbacks=default_callbacks())``.

    A BestWeights, by which a run ends with the weights that explained validation episodes best, a RunReport and a Verdict.
    What a memory needs to learn at all (TargetRefresh, Replay), MemUP adds itself, with any Trainer.
    """
    return [BestWeights(), RunReport(), Verdict()]
