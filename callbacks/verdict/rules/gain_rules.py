"""Rules of what a memory gains: in other episodes than it learned from, over a constant, and as training went on."""

from __future__ import annotations

from memup_lightning.callbacks.overfitting.column_use import FEW_COLUMNS
from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.advice.fewer_inputs import against_memorizing, fewer_inputs
from memup_lightning.callbacks.verdict.advice.whole_episodes import against_single_outcomes
from memup_lightning.callbacks.verdict.advice.words import (
    amount,
    constant_of,
    how_much,
    measured_at,
    more_episodes,
    numbers_of,
    smaller_rate,
    spread_of,
)
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.measuring.split_measurement import SplitMeasurement
from memup_lightning.callbacks.verdict.rules.finding import Finding


def unexplained(run: Measurements) -> SplitMeasurement | None:
    """Return the validation episodes, where their outcomes need a memory and are not explained yet."""
    val = run.val
    return None if val is None or val.explained >= at.EXPLAINED or val.uncertain <= at.NOTHING_UNCERTAIN else val


def explains_some(val: SplitMeasurement) -> bool:
    """Return whether the memory explains some of the outcomes, in bits or in squared error."""
    return (val.explains or val.explained > at.SOME_ERROR) and is_of_memory(val)


def overfitted(run: Measurements) -> Finding | None:
    """Judge a memory that explains training episodes and no others, or fewer bits of others."""
    if (val := unexplained(run)) is None:
        return None
    train, ending = run.train or val, run.ending
    margin = max(at.OVERFITTED_BITS, at.OVERFITTED_SHARE * train.gain.mean)
    higher = train.explains and train.gain.low > val.gain.high
    alone = not explains_some(val) and not val.local_is_worse
    apart = higher and (train.gain.mean - val.gain.mean >= margin or alone)
    learned = ending.memorized or (not ending.fell and (train.explains or run.history.learned_training_episodes()))
    if not apart and (ending.best is None or not learned):
        return None
    held = explains_some(val) if ending.best is not None else explains_some(val) or run.best_gain > at.SOME_BITS
    more_of_them, episodes = more_episodes(run), run.data.episodes
    numbers = {"episodes": episodes, "train": train.gain._asdict(), "val": val.gain._asdict()}
    if not held:
        more = f"collect {4 * episodes:,} to {8 * episodes:,} training episodes (4 to 8 times as many)"
        by_hand = "check by hand in a few episodes that their inputs give the outcomes away; if they do"
        return Finding(
            "memorized",
            f"Hardly anything that the memory learned in the {episodes:,} training episodes holds in others "
            f"({_best(run)}): either the inputs do not hold what decides the outcomes, or the episodes are too few"
            f"{_for_columns(run)}.",
            against_single_outcomes(run)
            or (
                f"make more training episodes{more_of_them}"
                if run.data.episodes_option
                else fewer_inputs(run, f"else {by_hand}, {more}", more)
            ),
            numbers,
        )
    sentence = (
        f"The memory is over-fitted: it explains {train.gain.mean:.2f} bits in the {episodes:,} training episodes and "
        f"{val.gain.mean:.2f} in validation episodes."
    )
    if ending.best is not None:
        sentence = (
            f"The memory explains a part of the outcomes: {how_much(run, val)}. What it learned after update "
            f"{ending.best[0]:,} holds in the {episodes:,} training episodes alone, so the run ends with the weights of "
            f"then ({_best(run, named=True)}). The rest may be noise, or need more training episodes."
        )
    return Finding("overfitted", sentence, against_memorizing(run), numbers)


def _for_columns(run: Measurements) -> str:
    """Say that many columns are read, where these can be left out one by one."""
    number = run.columns.number
    return f" for the {number} columns that are read" if number > FEW_COLUMNS else ""


def _best(run: Measurements, named: bool = False) -> str:
    """Format the highest gain in validation episodes, and the last one where the run ends with other weights.

    Args:
        run: its measurements.
        named: whether the sentence has named the update of the best weights.
    """
    if run.ending.best is None:
        return f"the memory gain in validation episodes is {amount(run.best_gain)} bits at best"
    update, gain = run.ending.best
    weights = "these weights" if named else f"the best weights, those of update {update:,}"
    validations = run.history.validations
    last = f", and {amount(validations[-1].gain)} with the last ones" if validations else ""
    return f"the memory gain in validation episodes is {amount(gain)} bits with {weights}{last}"


def is_of_memory(val: SplitMeasurement) -> bool:
    """Return whether the state of another episode explains less: else the gain is that of a predictor which has learned
    more of the local context than the one without memory."""
    return val.over_others is None or not val.explains or val.over_others.high > at.OVER_OTHERS * val.gain.mean


def worse_than_constant(run: Measurements) -> Finding | None:
    """Judge predictions that are not better than a constant: a gain over still worse ones says otherwise."""
    val = run.judged
    if val is None or not val.own or val.above_constant is None:
        return None  # where outcomes are all alike, any prediction but certainty is worse
    above = val.above_constant
    worse = above.low > 0 and above.mean > at.WORSE * val.own
    no_better = worse or (val.local_is_worse and above.high >= 0)
    cause = overfitted(run)
    if not no_better or (cause is not None and not val.local_is_worse):
        return None
    sentence = (
        f"The predictions with memory are {'worse' if worse else 'not certainly better'} than a constant"
        f"{measured_at(run, val)}: they leave {val.own + above.mean:.3g} {_unit(run)}, {constant_of(run)} leaves "
        f"{val.own:.3g} ({spread_of(run)})."
    )
    if val.local_is_worse:
        local = val.uncertain * val.own
        sentence += f" The predictor without memory leaves {local:.3g}: a gain over it counts only how bad it is."
    shared = run.train is None or run.train.above_constant is None or run.train.above_constant.high >= 0
    return Finding(
        "worse_than_constant",
        sentence,
        cause.try_first
        if cause is not None
        else "check by hand in a few episodes that their inputs give the outcomes away; if they do, give a smaller "
        f"learning rate: {smaller_rate()}"
        if shared
        else "check that validation episodes are like training episodes, their outcomes above all",
        numbers_of(val) | {"own": val.own, "above_constant": above._asdict()},
    )


def poor_reference(run: Measurements) -> Finding | None:
    """Say that the predictor without memory is worse than a constant, where the memory is better than both and a good part
    of the gain over that predictor is its badness."""
    val = run.judged
    if val is None or not val.own or not val.local_is_worse or worse_than_constant(run) is not None:
        return None
    counted = val.gain.mean + (val.excess_bits if run.data.outcome == "class" else 0.0)  # the gain over that predictor
    if val.episodes < at.MIN_EPISODES or not val.excess_bits > at.EXCESS * counted:
        return None
    ours = "The verdict is" if run.data.outcome == "class" else "The share of the verdict is"
    theirs = "the memory gain of validations" if run.data.outcome == "class" else "all bits"
    return Finding(
        "poor_reference",
        f"The predictor without memory is worse than a constant: it leaves {val.uncertain * val.own:.3g} {_unit(run)}, "
        f"{constant_of(run)} leaves {val.own:.3g}. {ours} measured from the constant, {theirs} from that predictor: about "
        f"{amount(val.excess_bits)} bits too much.",
        None,
        {"uncertain": val.uncertain, "own": val.own, "excess_bits": val.excess_bits},
    )


def _unit(run: Measurements) -> str:
    return "bits" if run.data.outcome == "class" else "of squared error"


def restored(run: Measurements) -> Finding | None:
    """Say that a run ends with other weights than its last, where no verdict of over-fitting does."""
    best = run.ending.best
    if best is None or run.val is None or overfitted(run) is not None:
        return None
    return Finding(
        "restored",
        f"The run ends with the weights of update {best[0]:,}, which explain validation episodes best: "
        f"{_best(run, named=True)}. They are those of the lowest val/nll, which counts all evaluated steps.",
        None,
        {"updates": best[0], "gain": best[1]},
    )
