"""Remark on how far before the outcomes the memory knows of them."""

from __future__ import annotations

from collections.abc import Sequence

from memup_lightning.callbacks.verdict.measuring.measurements import CurvePoint, Measurements
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.forgetting import forgetting
from memup_lightning.callbacks.verdict.rules.gain_rules import is_of_memory, worse_than_constant
from memup_lightning.callbacks.verdict.rules.words import steps


def reach(run: Measurements) -> Finding | None:
    """Say how far before the outcomes the memory has half of its gain."""
    if run.val is None or run.awaits_selection or not run.val.explains or worse_than_constant(run) is not None:
        return None
    if not is_of_memory(run.val):  # the states tell nothing, so those of all distances are alike
        return None
    if forgetting(run) is not None:  # there is more than the gain at the outcomes further away
        return None
    furthest, last = _keeps_half(run.val.curve)
    if run.train is not None and run.train.explains:
        near, lower = _keeps_half(run.train.curve)  # a gain at so many distances is high by chance at some
        if lower is not None and near < furthest:
            furthest, last = near, lower
    if furthest == 0 and last is None:
        return None
    lost = None if last is None else last.distance
    where = f"{steps(furthest)} before the outcomes" if furthest else "at the outcomes' own step"
    sentence = (
        f"At least half of the gain is there {where}, but not {'' if last.half.high < 0 else 'for certain '}{steps(lost)} "
        "before: until then the inputs do not tell the outcomes, or the memory did not keep what does."
        if last is not None and lost is not None
        else f"At least half of the gain is there {where} already, as far back as was measured."
    )
    return Finding("reach", sentence, None, {"furthest": furthest, "half_lost": lost})


def _keeps_half(curve: Sequence[CurvePoint]) -> tuple[int, CurvePoint | None]:
    """Return the distance up to which half of the gain is there for certain, and the next point of the curve, if any."""
    furthest = 0
    for point in curve[1:]:
        if not point.half.low > 0:
            return furthest, point
        furthest = point.distance
    return furthest, None
