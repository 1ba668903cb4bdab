"""Words and numbers of findings."""

from __future__ import annotations

from typing import Any

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.measuring.split_measurement import SplitMeasurement
from memup_lightning.exceptions import counted
from memup_lightning.modules.evaluation.estimate import Estimate
from memup_lightning.user_warnings import option, options


def how_much(run: Measurements, split: SplitMeasurement) -> str:
    """Format what the memory explains of the outcomes of some episodes, and where it was measured."""
    gain, where = split.gain, measured_at(run, split)
    if run.data.outcome == "class":
        bits = f"{amount(gain.mean)} of {amount(split.surprise)} bits{_interval(gain)}{where}{_precision(run, split)}"
        if not split.outlier_bits > at.OUTLIERS * split.surprise:
            return bits
        return f"{bits}; sure and wrong predictions cost {amount(split.outlier_bits)} bits more than is counted"
    if split.explained < 0:
        larger = percent(-split.explained)
        than = "no smaller" if larger == "0%" else f"{larger} larger"
        return f"{gain.mean:.2f} bits{_interval(gain)}{where}, with a squared error {than} than without memory"
    reference = constant_of(run) if split.local_is_worse else "the predictor without memory"
    share = f"{percent(split.explained)} of the squared error that {reference} leaves"
    return f"{share}, {gain.mean:.2f} bits{_interval(gain)}{where}"


def _precision(run: Measurements, split: SplitMeasurement) -> str:
    """Format the average precision of a rare class, where all evaluated steps count: of those nearly all are sure, and a
    gain is a few thousandths of a bit."""
    if split.episodes or not run.evaluated.is_rare or run.evaluated.average_precision is None:
        return ""
    with_memory, without = run.evaluated.average_precision
    return f" (average precision {with_memory:.2f}, without memory {without:.2f})"


def more_episodes(run: Measurements) -> str:
    """Give eight times as many training episodes, as the option of the data or as a number."""
    more = 8 * run.data.episodes
    if run.data.episodes_option is None:
        return f", {more:,} say"
    return f": {option(f'data.init_args.{run.data.episodes_option}', more)}"


def memory_of(name: str, **given: object) -> str:
    """Return the settings of another memory: its class, and arguments of it."""
    arguments = "".join(f", {key}={value}" for key, value in given.items())
    python = f"memory=partial({name}{arguments})" if given else f"memory={name}"
    return options(
        ("model.init_args.memory", name),
        *((f"model.init_args.memory.{key}", value) for key, value in given.items()),
        python=python,
    )


def smaller_rate() -> str:
    """Return the settings of a smaller learning rate."""
    return options(
        ("model.init_args.optimizer", "MemoryAdam"),
        ("model.init_args.optimizer.init_args.lr", 0.0003),
        python="optimizer=partial(MemoryAdam, lr=0.0003)",
    )


def measured_at(run: Measurements, split: SplitMeasurement) -> str:
    """Say over how many validation episodes something was measured."""
    if not split.episodes:
        return ", by the validation"
    number = split.curve[0].steps
    what = "target" if run.steps == "targets" and run.targets.needed else "step"
    return f" at {counted(number, what)} of {counted(split.episodes, 'validation episode')}"


def _interval(estimate: Estimate) -> str:
    """Format the interval of an estimate that has one: the mean of a whole validation has none."""
    if estimate.low == estimate.high:
        return ""
    return f" (95% interval {amount(estimate.low)} to {amount(estimate.high)})"


def amount(x: float) -> str:
    """Format bits or squared errors: two decimals, more of what is small."""
    return f"{x:.2f}" if not 0 < abs(x) < 0.1 else f"{x:.2g}"


def spread_of(run: Measurements) -> str:
    """Name what is left of the outcomes without any input."""
    return "their entropy" if run.data.outcome == "class" else "their variance"


def constant_of(run: Measurements) -> str:
    """Name the prediction that reads nothing."""
    return "always giving the share of each class" if run.data.outcome == "class" else "always giving the mean"


def numbers_of(split: SplitMeasurement) -> dict[str, Any]:
    """Return the numbers of a finding about what the memory explains."""
    return {"gain": split.gain._asdict(), "explained": split.explained, "surprise": split.surprise}


def percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.0f}%"


def rounded_up(number: int) -> int:
    """Round up to two digits that are not 0, as 397 to 400."""
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // unit) * unit
