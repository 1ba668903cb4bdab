"""Rules by which the verdict of a run follows from its measurements."""

from __future__ import annotations

from collections.abc import Callable

from memup_lightning.callbacks.verdict.finding import Finding
from memup_lightning.callbacks.verdict.measurements import CurvePoint, Measurements, SplitMeasurement
from memup_lightning.callbacks.verdict.words import how_much, numbers_of, percent, spread_of, steps

_EXPLAINED = 0.9  # share of what is uncertain without memory
_NOTHING_UNCERTAIN = 0.05  # share of the outcomes' own entropy or variance
_SOME_BITS = 0.05  # a smaller gain is none
_SOME_SHARE = 0.2  # of the squared error: one sure and wrong prediction can cost more bits than all others gain
_OVERFITTED_BITS = 0.1  # gain in training episodes above that in others, at least
_DIVERGED_BITS = 1e4
_MIN_RECALL = 0.5
_MANY = 0.5  # share of the targets
_SIZES = (0.01, 100.0)  # smallest spread and largest value of inputs that networks read well
_ENOUGH_UPDATES = 2000  # before a memory counts as blind
_MIN_UPDATES = 500  # before the choice of targets counts as wrong: the local predictor learns first


def judge(run: Measurements) -> list[Finding]:
    """Return what the measurements show; the first finding is the verdict. Always at least one.

    Args:
        run: its measurements.
    """
    findings = [finding for rule in _RULES if (finding := rule(run)) is not None]
    if not findings or findings[0].name == "reach":
        findings.insert(0, _rest(run))
    return findings


def _no_targets(run: Measurements) -> Finding | None:
    if run.selects_nothing:
        sentence = "The selector chose no step of the training episodes: the memory has learned nothing."
        return Finding("no_targets", sentence, "let the selector score steps above -inf, or take another one")
    if not run.awaits_selection:
        return None
    return Finding(
        "no_targets",
        f"The run ended after {run.updates:,} updates, before the first targets were selected: the memory has learned "
        "nothing yet.",
        f"train longer: --trainer.max_steps={max(5000, 4 * run.updates)}",
        {"updates": run.updates},
    )


def _no_outcomes(run: Measurements) -> Finding | None:
    if run.val is not None or run.awaits_selection:
        return None
    where = "at the steps that the data mark" if run.steps == "marked" else "in the validation episodes"
    return Finding(
        "no_outcomes",
        f"There was nothing to measure: no step {where} has an outcome."
        if run.steps == "marked" or not run.needs_targets
        else "There was nothing to measure: the validation episodes have no targets.",
        "look at the outcomes of the validation episodes: the fields outcome, has_outcome and eval_mask",
    )


def _diverged(run: Measurements) -> Finding | None:
    if run.val is None or run.awaits_selection or abs(run.val.gain.mean) < _DIVERGED_BITS:  # not NaN
        return None
    return Finding(
        "diverged",
        f"The run diverged: the memory gain is {run.val.gain.mean:.3g} bits.",
        "give a smaller learning rate, or clip gradients: --trainer.gradient_clip_val=1",
        {"gain": run.val.gain.mean},
    )


def _needs_no_memory(run: Measurements) -> Finding | None:
    if run.val is None or run.awaits_selection or run.val.uncertain > _NOTHING_UNCERTAIN:
        return None
    return Finding(
        "needs_no_memory",
        "The outcomes need no memory: without it, "
        f"{percent(1 - run.val.uncertain)} of {spread_of(run)} is predicted already, from the local context.",
        "if they should need one, leave the field that gives the outcome away out of the context, or make window smaller",
        {"uncertain": run.val.uncertain, "surprise": run.val.surprise},
    )


def _explained(run: Measurements) -> Finding | None:
    if run.val is None or run.awaits_selection or run.val.uncertain <= _NOTHING_UNCERTAIN or not _explains(run.val):
        return None
    if run.val.explained < _EXPLAINED:
        return None
    return Finding(
        "explained", f"The memory explains the outcomes: {how_much(run, run.val)}.", None, numbers_of(run.val)
    )


def _badly_scaled(run: Measurements) -> Finding | None:
    if run.val is not None and _unexplained(run) is None:
        return None
    if run.outcome_problem is not None:
        sentence = f"The outcomes are badly scaled: {run.outcome_problem}."
        return Finding("badly_scaled", sentence, "evaluate steps whose outcomes differ, or lower tolerance")
    smallest, largest = _SIZES
    if run.input_size is not None and run.input_size > largest:
        sentence = f"The inputs are badly scaled: the memory reads values up to {run.input_size:.3g}."
    elif run.input_spread is not None and run.input_spread < smallest:
        sentence = f"The inputs are badly scaled: what the memory reads differs by {run.input_spread:.2g} only."
    else:
        return None
    numbers = {"input_size": run.input_size, "input_spread": run.input_spread}
    return Finding("badly_scaled", sentence, "scale the inputs to a mean of 0 and a spread of 1", numbers)


def _overfitted(run: Measurements) -> Finding | None:
    if (val := _unexplained(run)) is None:
        return None
    train = run.train or val
    margin = max(_OVERFITTED_BITS, 0.3 * train.gain.mean)
    apart = train.gain.low > val.gain.high and train.gain.mean - val.gain.mean >= margin
    if not apart and run.best is None:
        return None
    sentence = (
        f"The memory is over-fitted: it explains {train.gain.mean:.2f} bits in the {run.episodes:,} training episodes and "
        f"{val.gain.mean:.2f} in validation episodes."
    )
    if run.best is not None:
        last = f", not {run.history[-1][1]:.2f} at the end" if run.history else ""
        sentence = (
            f"The memory learned the {run.episodes:,} training episodes by themselves: the run ends with the weights of "
            f"update {run.best[0]:,}, when validation episodes were best explained ({run.best[1]:.2f} bits{last})."
        )
    more = 8 * run.episodes
    option = f": --data.init_args.{run.episodes_option}={more}" if run.episodes_option else f", {more:,} say"
    numbers = {"episodes": run.episodes, "train": train.gain._asdict(), "val": val.gain._asdict()}
    return Finding("overfitted", sentence, f"give more training episodes{option}", numbers)


def _forgetting(run: Measurements) -> Finding | None:
    if run.val is None or run.awaits_selection or run.val.explained >= _EXPLAINED:
        return None
    chrono = max(2, round(run.mean_length))
    try_first = (
        "start again with a memory that keeps longer: --model.init_args.memory=LSTM "
        f"--model.init_args.memory.chrono={chrono}"
    )
    best = max(run.val.curve, key=lambda point: point.change.mean)
    if min(best.change.low, best.gain.low) > _SOME_BITS and best.change.mean > max(2 * _SOME_BITS, best.gain.mean / 4):
        return Finding(
            "forgetting",
            f"The memory forgets: the state {steps(best.distance)} before an outcome explains {best.gain.mean:.2f} bits "
            f"of it, and the state at the outcome {best.at_once:.2f}.",
            try_first,
            {"distance": best.distance, "gain": best.gain._asdict(), "at_once": best.at_once},
        )
    early, late = run.val.early, run.val.late
    if early is None or late is None or early.gain.low <= 2 * _SOME_BITS:
        return None
    lost = late.gain.high < early.gain.mean / 2 and late.surprise > early.surprise / 2
    return (
        None
        if not lost
        else Finding(
            "forgetting",
            f"The memory does not keep what it knows: outcomes at about step {early.step:,} are explained by "
            f"{early.gain.mean:.2f} bits, those at about step {late.step:,} by {late.gain.mean:.2f}.",
            try_first,
            {"early": early.step, "late": late.step, "early_gain": early.gain.mean, "late_gain": late.gain.mean},
        )
    )


def _wrong_targets(run: Measurements) -> Finding | None:
    if run.recall is None or run.recall >= _MIN_RECALL or not run.needs_targets or run.updates < _MIN_UPDATES:
        return None
    if _unexplained(run) is None:
        return None
    more = 4 * max(1, run.num_targets)
    return Finding(
        "wrong_targets",
        f"The targets are not the steps that matter: {percent(run.recall)} of the steps that the data mark were selected.",
        f"select more targets: --data.init_args.selector.init_args.num_targets={more}",
        {"recall": run.recall, "num_targets": run.num_targets},
    )


def _undertrained(run: Measurements) -> Finding | None:
    if (val := _unexplained(run)) is None or run.awaits_selection or run.best is not None:
        return None
    if (rise := run.rise()) is None:
        return None
    return Finding(
        "undertrained",
        f"The run ended too early: the memory gain still rises, by {rise:.2f} bits in the last half of the updates.",
        f"continue: --ckpt_path last --trainer.max_steps={2 * run.updates}",
        {"rise": rise, "updates": run.updates, "gain": val.gain.mean},
    )


def _noise(run: Measurements) -> Finding | None:
    if run.noise is None or run.noise <= _MANY or run.val is None or run.val.explained >= _EXPLAINED:
        return None
    return Finding(
        "noise",
        f"Most targets are noise: {percent(run.noise)} of them are in context clusters of which the memory explains "
        "nothing.",
        f"tell more clusters apart: --model.init_args.num_clusters={16 * max(1, run.num_targets)}",
        {"noise": run.noise},
    )


def _reach(run: Measurements) -> Finding | None:
    if run.val is None or run.awaits_selection or not _explains(run.val):
        return None
    known = [point for point in run.val.curve if _keeps_half(point)]
    if not known:
        return None
    furthest = known[-1].distance
    lost = next((point.distance for point in run.val.curve if point.distance > furthest), None)
    numbers = {"furthest": furthest, "half_lost": lost}
    if furthest == 0 and lost is None:
        return None
    until = "The memory knows the outcomes " + (f"{steps(furthest)} before" if furthest else "at their own step alone")
    sentence = (
        f"{until}; {steps(lost)} before, more than half of the gain is missing."
        if lost is not None
        else f"{until}, as far back as was measured."
    )
    return Finding("reach", sentence, None, numbers)


def _rest(run: Measurements) -> Finding:
    """Return the verdict where no other rule has one."""
    assert run.val is not None  # or there were no outcomes
    val = run.val
    if _explains(val) or val.explained > _SOME_SHARE:
        return Finding(
            "partly_explained",
            f"The memory explains a part of the outcomes: {how_much(run, val)}. The rest may be noise, or not "
            "learned yet.",
            f"train longer: --ckpt_path last --trainer.max_steps={2 * max(1, run.updates)}",
            numbers_of(val),
        )
    if run.updates < _ENOUGH_UPDATES:
        return Finding(
            "undertrained",
            f"The memory explains nothing yet, after {run.updates:,} updates.",
            f"continue: --ckpt_path last --trainer.max_steps={max(2 * _ENOUGH_UPDATES, 4 * run.updates)}",
            {"updates": run.updates, "gain": val.gain.mean},
        )
    whole = round(run.mean_length)
    short = run.chunk_length < whole <= 1000
    return Finding(
        "blind",
        "The memory explains nothing, at any distance, in training and validation episodes alike: the inputs do not hold "
        "what decides the outcomes, the outcomes are noise, or nothing of it was found.",
        f"let gradients cross whole episodes, which finds what is there: --data.init_args.chunk_length={whole}"
        if short
        else "check by hand that the inputs of the memory tell the outcomes apart, on short episodes first",
        {"gain": val.gain._asdict(), "updates": run.updates},
    )


_RULES: tuple[Callable[[Measurements], Finding | None], ...] = (
    _no_targets,
    _no_outcomes,
    _diverged,
    _needs_no_memory,
    _explained,
    _badly_scaled,
    _overfitted,
    _forgetting,
    _wrong_targets,
    _undertrained,
    _noise,
    _reach,
)
"""In the order in which they decide the verdict."""


def _unexplained(run: Measurements) -> SplitMeasurement | None:
    """Return the validation episodes, where their outcomes need a memory and are not explained yet."""
    val = run.val
    return None if val is None or val.explained >= _EXPLAINED or val.uncertain <= _NOTHING_UNCERTAIN else val


def _explains(split: SplitMeasurement) -> bool:
    return split.gain.low > 0 and split.gain.mean > _SOME_BITS


def _keeps_half(point: CurvePoint) -> bool:
    return point.gain.mean >= point.at_once / 2
