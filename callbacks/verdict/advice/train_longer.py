"""Advice to train longer, and where a gain deserves it."""

from __future__ import annotations

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.user_warnings import options


def train_longer(run: Measurements) -> str:
    """Return the advice to double the updates."""
    return f"train longer: {continued(run, 2 * max(1, run.updates))}"


def continued(run: Measurements, updates: int) -> str:
    """Return the settings by which the run is continued until an update."""
    checkpoint = "" if run.checkpoint is None else f", ckpt_path={run.checkpoint!r}"
    return options(("ckpt_path", "last"), ("trainer.max_steps", updates), python=f"max_steps={updates}{checkpoint}")


def went_down(run: Measurements) -> bool:
    """Return whether the run ends with weights of the first two thirds of its updates, since the later ones explain less:
    then more updates are no advice."""
    return run.ending.best is not None and run.ending.best[0] < at.LATE * run.updates


def may_learn_more(run: Measurements) -> bool:
    """Return whether more updates may raise the gain: its trend says so, or there are too few validations for one after
    few updates. Never where the run ends with earlier weights, since its last ones explain less."""
    if run.ending.best is not None:
        return False
    may_rise = run.history.may_rise()
    return may_rise or (may_rise is None and run.updates < at.ENOUGH_UPDATES)
