"""Remarks on predictions that are worse with memory than without, and on columns that the run left out."""

from __future__ import annotations

import math

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.gain_rules import explains_some, worse_than_constant
from memup_lightning.user_warnings import option

_MANY_TARGETS = 4  # times as many


def worse_than_local(run: Measurements) -> Finding | None:
    """Say that the weights with which the run ends predict clearly worse with memory than without it.

    The gain is measured at targets, or at a few steps of each episode: a memory can help there, and do harm elsewhere.
    """
    if (val := run.judged) is None or run.evaluated.nll is None or worse_than_constant(run) is not None:
        return None
    ours, local = run.evaluated.nll
    lost = ours - local
    enough = at.SOME_BITS * math.log(2)
    if run.data.outcome == "class":  # of a rare one the NLL is small; of numbers it is a density, which has no zero
        enough = max(at.LEAST_NATS, min(enough, at.WORSE * local))
    if not (math.isfinite(lost) and lost > enough):
        return None
    sentence = (
        f"Over all steps that validations evaluate, predictions with memory are worse than without: val/nll is {ours:.3g}, "
        f"val/local_nll {local:.3g}."
    )
    if not explains_some(val):
        sentence += " The local context alone predicts better."
    elif run.steps == "targets" and run.targets.needed:
        more = option("data.init_args.selector.init_args.num_targets", _MANY_TARGETS * max(1, run.targets.number))
        sentence += (
            " The memory helps at the targets alone: mark the steps whose predictions are needed (eval_at, eval_mask), or "
            f"select more targets ({more})."
        )
    else:
        sentence += " Sure and wrong ones cost more than the others gain: give more training episodes, or fewer inputs."
    return Finding("worse_than_local", sentence, None, {"nll": ours, "local_nll": local})


def left_out(run: Measurements) -> Finding | None:
    """Say which columns of a table are read, where the run left out others."""
    if not (read := run.columns.read):
        return None
    others = [name for name in run.columns.inputs.names if name not in read]
    return Finding(
        "columns_left_out",
        f"Memory and predictor read {', '.join(read)} alone: they memorized training episodes, and what they "
        f"predicted of validation episodes did not depend on {', '.join(others)} ({option('data.x')} names the columns to "
        "read).",
        None,
        {"read": list(read), "left_out": others},
    )
