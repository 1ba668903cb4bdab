"""Remark on how far before the outcomes the memory knows of them."""

from __future__ import annotations

from collections.abc import Sequence

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.measuring.split_measurement import CurvePoint
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.forgetting import forgetting
from memup_lightning.callbacks.verdict.rules.gain_rules import is_of_memory, worse_than_constant
from memup_lightning.exceptions import counted


def reach(run: Measurements) -> Finding | None:
    """Say how far before the outcomes the memory has half of its gain; nothing where too little is certain for that."""
    if (val := run.judged) is None or not val.explains or worse_than_constant(run) is not None:
        return None
    learns_targets = run.targets.needed and run.targets.number and run.targets.weight >= at.OWN_LEAD
    if not learns_targets:  # of earlier states the predictor learned little
        return None
    if not is_of_memory(val):  # the states say nothing, so those of all distances are alike
        return None
    if forgetting(run) is not None:  # there is more than the gain at the outcomes further away
        return None
    furthest, lost, last = _keeps_half(val.curve)
    if run.train is not None and run.train.explains:
        near, lower, end = _keeps_half(run.train.curve)  # a gain at so many distances is high by chance at some
        if near < min(furthest, end):
            furthest, lost, last = near, lower, end
    if furthest == 0 and lost is None:
        return None
    where = f"{counted(furthest, 'step')} before the outcomes" if furthest else "at the outcomes' own step"
    if lost is not None:
        sentence = (
            f"At least half of the gain is there {where}, but not {counted(lost, 'step')} before: until then the "
            "inputs do not give the outcomes away, or the memory did not keep what does, or the local context does "
            "not show which of several such steps it is."
        )
    elif furthest == last:
        sentence = f"At least half of the gain is there {where} already, as far back as was measured."
    else:
        sentence = f"At least half of the gain is there {where} already; further back it is not certain."
    return Finding("reach", sentence, None, {"furthest": furthest, "half_lost": lost})


def _keeps_half(curve: Sequence[CurvePoint]) -> tuple[int, int | None, int]:
    """Return the distance up to which half of the gain is there for certain; the first one at which it is not, for certain
    (None: at none; an interval may hold both); and the last one that was measured in enough episodes."""
    furthest = 0
    points = [point for point in curve[1:] if point.episodes >= at.MIN_EPISODES]
    for point in points:
        if not point.half.low > 0:
            break
        furthest = point.distance
    lost = (point.distance for point in points if point.distance > furthest and point.half.high < 0)
    return furthest, next(lost, None), max((point.distance for point in points), default=0)
