"""Words and numbers of findings."""

from __future__ import annotations

from typing import Any

from memup_lightning.callbacks.verdict.measurements import Estimate, Measurements, SplitMeasurement


def how_much(run: Measurements, split: SplitMeasurement) -> str:
    """Format what the memory explains of the outcomes of some episodes."""
    gain = split.gain
    if run.outcome == "class":
        return f"{gain.mean:.2f} of {split.surprise:.2f} bits ({_interval(gain)})"
    if split.explained < 0:
        larger = percent(-split.explained)
        return f"{gain.mean:.2f} bits ({_interval(gain)}), with a squared error {larger} larger than without memory"
    share = f"{percent(split.explained)} of the squared error that is left without memory"
    return f"{share}, {gain.mean:.2f} bits ({_interval(gain)})"


def _interval(estimate: Estimate) -> str:
    return f"95% interval {estimate.low:.2f} to {estimate.high:.2f}"


def spread_of(run: Measurements) -> str:
    """Name what is left of the outcomes without memory."""
    return "their entropy" if run.outcome == "class" else "their variance"


def numbers_of(split: SplitMeasurement) -> dict[str, Any]:
    """Return the numbers of a finding about what the memory explains."""
    return {"gain": split.gain._asdict(), "explained": split.explained, "surprise": split.surprise}


def percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.0f}%"


def steps(number: int) -> str:
    """Format a number of steps."""
    return "1 step" if number == 1 else f"{number:,} steps"
