"""Rule of a memory that knew more of an outcome than it knows when the outcome comes."""

from __future__ import annotations

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.advice.train_longer import may_learn_more, train_longer
from memup_lightning.callbacks.verdict.advice.words import amount, memory_of, more_episodes
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.measuring.split_measurement import CurvePoint, SplitMeasurement
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.exceptions import counted

_KEPT = 1000  # steps for which some cells of a fresh LSTM keep an input already


def forgetting(run: Measurements) -> Finding | None:
    """Judge a memory whose earlier states know more than the later ones, in validation and training episodes alike."""
    if (val := run.judged) is None or run.train is None or val.explained >= at.EXPLAINED:
        return None
    too = {point.distance for point in run.train.curve if _loses(point)}
    points = [point for point in val.curve if _loses(point) and point.distance in too]
    if points:
        best = max(points, key=lambda point: point.change.mean)
        return Finding(
            "forgetting",
            f"The memory forgets: in {counted(best.episodes, 'validation episode')} the state "
            f"{counted(best.distance, 'step')} before an outcome explains {amount(best.gain.mean)} bits of it, and "
            f"the state at the outcome {amount(best.at_once)}; in training episodes it is so too.",
            _advice(run, best.distance),
            {
                "distance": best.distance,
                "episodes": best.episodes,
                "gain": best.gain._asdict(),
                "change": best.change._asdict(),
                "at_once": best.at_once,
            },
        )
    early, late = val.early, val.late
    if early is None or late is None or not (_loses_late(val) and _loses_late(run.train)):
        return None
    return Finding(
        "forgetting",
        f"In {counted(val.episodes, 'validation episode')} {amount(early.gain.mean)} bits of outcomes at about "
        f"step {early.step:,} are explained, and {amount(late.gain.mean)} of those at about step {late.step:,}; in "
        "training episodes it is so too. The memory does not keep what it knows, or not all that is needed there.",
        _advice(run, late.step),
        {"early": early.step, "late": late.step, "early_gain": early.gain.mean, "late_gain": late.gain.mean},
    )


def _loses(point: CurvePoint) -> bool:
    """Return whether the earlier state explains more of the same outcomes than the state at them, for certain."""
    change = point.change
    certain = change.mean - at.FORGOTTEN_ERRORS * change.error > at.SOME_BITS and point.gain.low > at.SOME_BITS
    much = change.mean > max(2 * at.SOME_BITS, point.gain.mean / 4)
    return certain and much and point.episodes >= at.MIN_EPISODES


def _loses_late(split: SplitMeasurement) -> bool:
    early, late = split.early, split.late
    if early is None or late is None or split.episodes < at.MIN_EPISODES or not early.gain.low > 2 * at.SOME_BITS:
        return False
    error = (early.gain.error**2 + late.gain.error**2) ** 0.5
    apart = early.gain.mean - late.gain.mean > at.FORGOTTEN_ERRORS * error and late.gain.high < early.gain.mean / 2
    return apart and late.surprise > early.surprise / 2


def _advice(run: Measurements, kept: int) -> str:
    """Say what helps a memory to keep something for so many steps: more updates, where its gain may still rise."""
    if run.history.standing_since() is None and may_learn_more(run):
        return train_longer(run)
    another = run.memory is not None and run.memory[0] != "LSTM"
    if kept <= _KEPT and not another:
        return f"give more training episodes{more_episodes(run)}"
    given: dict[str, object] = {"chrono": max(kept, run.data.longest)} if kept > _KEPT else {}
    return f"start again with a memory that keeps longer: {memory_of('LSTM', **given)}"
