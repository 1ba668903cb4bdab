"""Rules by which the verdict of a run follows from its measurements."""

from __future__ import annotations

import math
from collections.abc import Callable

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.advice.train_longer import continued
from memup_lightning.callbacks.verdict.advice.words import (
    amount,
    how_much,
    measured_at,
    numbers_of,
    percent,
    smaller_rate,
    spread_of,
)
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.measuring.split_measurement import SplitMeasurement
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.forgetting import forgetting
from memup_lightning.callbacks.verdict.rules.gain_rules import (
    explains_some,
    is_of_memory,
    overfitted,
    poor_reference,
    restored,
    unexplained,
    worse_than_constant,
)
from memup_lightning.callbacks.verdict.rules.reach import reach
from memup_lightning.callbacks.verdict.rules.remarks import left_out, worse_than_local
from memup_lightning.callbacks.verdict.rules.rest import rest
from memup_lightning.data.outcome_checks import OTHER_OUTCOMES
from memup_lightning.exceptions import counted
from memup_lightning.user_warnings import option


def judge(run: Measurements) -> list[Finding]:
    """Return what the measurements show; the first finding is the verdict. Always at least one.

    Args:
        run: its measurements.
    """
    findings = [finding for rule in _RULES if (finding := rule(run)) is not None] or [rest(run)]
    return findings + [finding for remark in _REMARKS if (finding := remark(run)) is not None]


def _constant_outcome(run: Measurements) -> Finding | None:
    found, val = run.data.equal_outcomes, run.val
    if found is None or (val is not None and val.own != 0 and val.explains):  # of huge data not all were looked at
        return None
    return Finding("constant_outcome", f"In the training episodes {found}.", OTHER_OUTCOMES)


def _no_targets(run: Measurements) -> Finding | None:
    if run.targets.selects_nothing:
        sentence = "The selector chose no step of the training episodes: the memory has learned nothing."
        return Finding("no_targets", sentence, "let the selector score steps above -inf, or take another one")
    if not run.targets.awaits_selection:
        return None
    return Finding(
        "no_targets",
        f"The run ended after {counted(run.updates, 'update')}, before the first targets were selected: the memory "
        "has learned nothing yet.",
        f"train longer: {continued(run, max(5000, 4 * run.updates))}",
        {"updates": run.updates},
    )


def _no_outcomes(run: Measurements) -> Finding | None:
    if run.val is not None or run.targets.awaits_selection:
        return None
    where = "at the steps that the data mark" if run.steps == "marked" else "in the validation episodes"
    return Finding(
        "no_outcomes",
        f"There was nothing to measure: no step {where} has an outcome."
        if run.steps == "marked" or not run.targets.needed
        else "There was nothing to measure: the run ended before a validation, which selects targets of these episodes."
        if run.targets.awaits_validation
        else "There was nothing to measure: the validation episodes have no targets.",
        f"validate before the run ends: a smaller {option('trainer.val_check_interval')}"
        if run.targets.awaits_validation
        else "look at the outcomes of the validation episodes: the fields outcome, has_outcome and eval_mask",
    )


def _diverged(run: Measurements) -> Finding | None:
    if (val := run.judged) is None:
        return None
    gain = val.gain.mean - val.outlier_bits
    if abs(gain) < at.DIVERGED_BITS:  # not NaN
        return None
    return Finding(
        "diverged",
        f"The run diverged: the memory gain is {gain:.3g} bits.",
        f"give a smaller learning rate, or clip gradients: {option('trainer.gradient_clip_val', 1)}",
        {"gain": gain},
    )


def _rare_outcomes(run: Measurements) -> Finding | None:
    val, rare = run.judged, run.evaluated.rare
    if val is None or val.own != 0 or not rare:
        return None
    return Finding(
        "rare_outcomes",
        "Nothing can be said of what the memory explains: the outcomes that were measured"
        f"{measured_at(run, val)} are all alike, but {100 * rare:.2g}% of those that validations evaluate are "
        "others.",
        "compare average precision with and without memory, in the table; then leave the outcome empty (y, or has_outcome) "
        "at the steps at which it cannot be the rare one, so that targets are steps at which it can",
        {"rare": rare},
    )


def _needs_no_memory(run: Measurements) -> Finding | None:
    if (val := run.judged) is None or _uncertain(run, val) > at.NOTHING_UNCERTAIN:
        return None
    if _rare_outcomes(run) is not None:  # those that were measured are alike by chance
        return None
    if val.own == 0:
        return Finding(
            "needs_no_memory",
            "The outcomes that were measured in validation episodes are all alike: there is nothing to explain.",
            "look at the outcomes of the validation episodes",
            {"uncertain": val.uncertain, "surprise": val.surprise},
        )
    return Finding(
        "needs_no_memory",
        "The outcomes need no memory: without it, "
        f"{percent(1 - _uncertain(run, val))} of {spread_of(run)} is predicted already, from the local context.",
        "if they should need one, leave the field that gives the outcome away out of the context, or make window smaller",
        {"uncertain": _uncertain(run, val), "surprise": val.surprise},
    )


def _uncertain(run: Measurements, val: SplitMeasurement) -> float:
    """Return the share of the outcomes that is left without memory: at the steps that were measured, or at all evaluated
    ones where the state says nothing of those. Targets are the steps of which the predictor without memory is unsure."""
    everywhere = run.evaluated.uncertain
    return val.uncertain if everywhere is None or is_of_memory(val) else min(val.uncertain, everywhere)


def _explained(run: Measurements) -> Finding | None:
    if (val := run.judged) is None or val.uncertain <= at.NOTHING_UNCERTAIN or not val.explains:
        return None
    if val.explained < at.EXPLAINED or not is_of_memory(val):
        return None
    return Finding("explained", f"The memory explains the outcomes: {how_much(run, val)}.", None, numbers_of(val))


def _unseen_images(run: Measurements) -> Finding | None:
    fields = run.scale.unseen_images
    if unexplained(run) is None or not fields:
        return None
    return Finding(
        "unseen_images",
        f"The image encoder gives the same features for all images of {', '.join(fields)}: the memory is blind "
        "for them.",
        f"start again with a smaller learning rate: {smaller_rate()}",
        {"fields": list(fields)},
    )


def _badly_scaled(run: Measurements) -> Finding | None:
    if run.val is not None and unexplained(run) is None:
        return None
    if (problem := run.scale.outcome_problem) is not None:
        sentence = f"The outcomes are badly scaled: {problem}."
        return Finding("badly_scaled", sentence, "evaluate steps whose outcomes differ, or lower tolerance")
    size, spread = run.scale.input_size, run.scale.input_spread
    if size is not None and size > at.LARGEST_VALUE:
        sentence = f"The inputs are badly scaled: the memory reads values up to {size:.3g}."
    elif spread is not None and spread < at.SMALLEST_SPREAD:
        sentence = f"The inputs are badly scaled: what the memory reads differs by {spread:.2g} only."
    else:
        return _large_and_rare(run)
    numbers = {"input_size": size, "input_spread": spread}
    return Finding("badly_scaled", sentence, "scale the inputs to a mean of 0 and a spread of 1", numbers)


def _large_and_rare(run: Measurements) -> Finding | None:
    """Say that numbers which are to be explained are many spreads apart: networks reach values of about 1 soon."""
    val, spread = run.val, run.scale.outcome_spread
    if val is None or not val.own or not spread or val.own < (at.FAR * spread) ** 2 or explains_some(val):
        return None
    return Finding(
        "badly_scaled",
        f"The outcomes are badly scaled: they have a spread of {math.sqrt(val.own):.3g}{measured_at(run, val)}, and are "
        f"divided by {spread:.3g}, the spread at all steps, where nearly all are small.",
        "give the small ones one value, 0 say (rewards by a wrapper of the environment), or no outcome at all: then the "
        "spread is that of the others",
        {"spread": math.sqrt(val.own), "divided_by": spread},
    )


def _wrong_targets(run: Measurements) -> Finding | None:
    targets = run.targets
    if targets.recall is None or targets.recall >= at.MIN_RECALL or not targets.needed or run.updates < at.MIN_UPDATES:
        return None
    if unexplained(run) is None:
        return None
    more = 4 * max(1, targets.number)
    return Finding(
        "wrong_targets",
        f"The targets are not the steps that matter: {percent(targets.recall)} of the steps that the data mark were "
        "selected.",
        f"select more targets: {option('data.init_args.selector.init_args.num_targets', more)}",
        {"recall": targets.recall, "num_targets": targets.number},
    )


def _undertrained(run: Measurements) -> Finding | None:
    if (val := unexplained(run)) is None or run.targets.awaits_selection or run.ending.best is not None:
        return None
    if not is_of_memory(val):
        return None
    if (rise := run.history.rise()) is not None:
        what = f"the memory gain still rises, from {amount(rise.lowest)} bits"
        end = amount(rise.highest)
    elif (rise := run.history.rise_of_error()) is not None:
        what = f"the memory explains more and more of the squared error, from {percent(max(0.0, rise.lowest))}"
        end = percent(rise.highest)
    else:
        return None
    return Finding(
        "undertrained",
        f"The run ended too early: {what} at update {rise.begin:,.0f} to {end} at update {rise.end:,.0f}.",
        f"continue: {continued(run, 2 * run.updates)}",
        {"rise": rise._asdict(), "updates": run.updates, "gain": val.gain.mean},
    )


def _noise(run: Measurements) -> Finding | None:
    noise = run.targets.noise
    if noise is None or noise <= at.MOST or run.val is None or run.val.explained >= at.EXPLAINED:
        return None
    if not explains_some(run.val):  # what is not learned at all may be anything
        return None
    return Finding(
        "noise",
        f"Most targets are noise: {percent(noise)} of them are in context clusters of which the memory explains "
        "nothing.",
        f"distinguish more clusters: {option('model.init_args.num_clusters', 16 * max(1, run.targets.number))}",
        {"noise": noise},
    )


_RULES: tuple[Callable[[Measurements], Finding | None], ...] = (
    _constant_outcome,
    _no_targets,
    _no_outcomes,
    _diverged,
    _rare_outcomes,
    _needs_no_memory,
    _explained,
    _unseen_images,
    _badly_scaled,
    overfitted,
    worse_than_constant,
    _wrong_targets,
    _undertrained,
    forgetting,
    _noise,
)
"""In the order in which they decide the verdict."""
_REMARKS = worse_than_local, poor_reference, restored, left_out, reach  # next to a verdict, never one
