"""Verdict of a run that no other rule judges: nothing is explained, nothing for certain, or a part."""

from __future__ import annotations

from typing import NamedTuple

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.advice.fewer_inputs import against_memorizing, fewer_inputs
from memup_lightning.callbacks.verdict.advice.train_longer import continued, may_learn_more, train_longer, went_down
from memup_lightning.callbacks.verdict.advice.whole_episodes import whole_episodes
from memup_lightning.callbacks.verdict.advice.words import (
    amount,
    how_much,
    memory_of,
    more_episodes,
    numbers_of,
    rounded_up,
)
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.measuring.split_measurement import SplitMeasurement
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.gain_rules import explains_some, is_of_memory
from memup_lightning.user_warnings import option


def rest(run: Measurements) -> Finding:
    """Return the verdict where no other rule has one."""
    assert run.val is not None  # or there were no outcomes
    val = run.val
    if explains_some(val):
        return _partly_explained(run, val)
    of_memory = is_of_memory(val)
    if run.updates < at.ENOUGH_UPDATES:
        return Finding(
            "undertrained",
            f"The memory explains nothing {'for certain ' if val.gains and of_memory else ''}yet, after {run.updates:,} "
            "updates.",
            f"continue: {continued(run, max(2 * at.ENOUGH_UPDATES, 4 * run.updates))}",
            {"updates": run.updates, "gain": val.gain.mean},
        )
    if val.gains and of_memory:
        return Finding(
            "uncertain",
            f"The memory explains nothing for certain: {how_much(run, val)}.",
            "give more validation episodes",
            numbers_of(val),
        )
    whole = rounded_up(run.data.longest)
    short = run.chunk_length < run.data.longest and whole <= 1000
    few = f". If that is not enough, make more than the {run.data.episodes:,} training episodes too."
    more = few if run.data.episodes < at.FEW_EPISODES else ""
    rare = _rarity(run)
    if short:
        advice = whole_episodes(run, whole) + more
    elif rare is not None:
        advice = f"{rare.advice}; else train longer" if _rises_everywhere(run) else rare.advice
    else:
        advice = "check by hand that the inputs of the memory give the outcomes away, on short episodes first" + more
    return Finding(
        "blind",
        f"The memory explains nothing, in training and validation episodes alike ({how_much(run, val)}"
        f"{'' if of_memory else ', and the state of another episode explains as much'}): the inputs do not hold what "
        f"decides the outcomes, the outcomes are noise, {rare.why if rare else 'or'} nothing of it was found.",
        advice,
        {"gain": val.gain._asdict(), "updates": run.updates},
    )


class _Rarity(NamedTuple):
    why: str
    advice: str


def _rarity(run: Measurements) -> _Rarity | None:
    """Say what rare classes do to training, and what to do; None where no class is rare, or episodes cannot be chosen."""
    rare = run.evaluated.rare
    if rare is None or not run.evaluated.is_rare or run.data.episodes_option is not None:
        return None
    few = (
        "if few training episodes have the rare outcome, train on those and on three times as many others, and validate on "
        "episodes as they occur: probabilities are then too high, but rank as well"
    )
    return _Rarity(
        f"too rare to be learned so soon ({100 * rare:.2g}% of the outcomes are not of the most frequent class), or",
        fewer_inputs(run, few, f"give more training episodes{more_episodes(run)}; {few}"),
    )


def _partly_explained(run: Measurements, val: SplitMeasurement) -> Finding:
    part = f"The memory explains a part of the outcomes: {how_much(run, val)}."
    since, numbers = run.history.standing_since(), numbers_of(val)
    grows = _of_training_episodes(run, val)
    if since is None:
        words, advice = _not_standing(run, val, grows)
        return Finding("partly_explained", f"{part} {words}", advice, numbers)
    cause = "probably noise, or"
    advice = None
    if (rare := _rarity(run)) is not None:
        cause, advice = f"noise, {rare.why}", rare.advice
    elif run.ending.memorized or grows:
        cause, advice = "noise, or needs more training episodes, or", against_memorizing(run)
    else:
        advice = _wider(run)
    more = f" {grows}." if grows else ""
    return Finding(
        "partly_explained",
        f"{part} The gain has not risen since update {since:,} of {run.updates:,}: the rest is {cause} out of reach of "
        f"this memory.{more}",
        advice,
        numbers | {"standing_since": since},
    )


def _wider(run: Measurements) -> str | None:
    """Say what reaches further, where the memory can be made wider."""
    if run.memory is None:
        return None
    name, size = run.memory
    return f"if the rest should be no noise, start again with a wider memory: {memory_of(name, hidden_size=2 * size)}"


def _rises_everywhere(run: Measurements) -> bool:
    """Return whether the last weights explain more and more of all steps that validations evaluate."""
    return not went_down(run) and run.history.rise_everywhere() is not None


def _not_standing(run: Measurements, val: SplitMeasurement, grows: str) -> tuple[str, str | None]:
    """Say of a gain that does not stand for certain whether it still rises, and what to try.

    Args:
        run: its measurements.
        val: its validation episodes.
        grows: what :func:`_of_training_episodes` says.
    """
    longer, ahead = train_longer(run), not went_down(run)
    if ahead and run.history.rise() is not None:
        return "The gain still rises: the rest is not learned yet, at least a part of it.", longer
    if _rises_everywhere(run) and (more := run.history.rise_everywhere()) is not None:
        return (
            f"At all steps that validations evaluate it explains more and more, from {amount(more.lowest)} bits at update "
            f"{more.begin:,.0f} to {amount(more.highest)} at update {more.end:,.0f}: the rest is not learned yet, at least "
            "a part of it.",
            longer,
        )
    if run.ending.memorized or (grows and _more_of_training(run, val)):
        words = f"{grows}: the rest" if grows else "The rest"
        return f"{words} may be noise, or need more training episodes.", against_memorizing(run)
    if grows and not (ahead and run.history.improves()):
        does = "does not" if run.history.slow_rise() is None else "hardly does"
        words = f"{grows}, and in validation episodes it {does}: the rest may be noise, or need more training episodes."
        return words, against_memorizing(run)
    if grows:
        return f"{grows}: a part of the rest is not learned yet, or is memorized there.", longer
    if (best := run.ending.best) is not None:
        return (
            f"After update {best[0]:,} it explained less{', in training episodes too' if run.ending.fell else ''}: more "
            "updates alone would hardly explain more.",
            f"if the rest should be no noise, give more training episodes{more_episodes(run)}",
        )
    if may_learn_more(run):
        return "The rest may be noise, or not learned yet.", longer
    if (slow := run.history.slow_rise()) is not None:
        rare = _rarity(run)
        what = (
            "this may be all that can be known, or the rest is"
            if rare is None
            else f"the rest may be noise, {rare.why}"
        )
        return (
            f"The gain hardly rises any more. By its trend, as many updates again would add about {amount(slow.added)} "
            f"bits to its {amount(slow.level)}: {what} out of reach of this memory.",
            _wider(run) if rare is None else rare.advice,
        )
    if run.history.may_rise() is None:
        return (
            "So few validations do not show whether the gain still rises.",
            f"validate more often, at least eight times: a smaller {option('trainer.val_check_interval')}",
        )
    gains = run.history.recent_gains()
    return (
        f"The validations do not show whether the gain still rises: at the last {len(gains)} of them it was "
        f"{amount(min(gains))} to {amount(max(gains))} bits, without a rise that is certain.",
        f"if the rest should be no noise, give more training episodes{more_episodes(run)}",
    )


def _more_of_training(run: Measurements, val: SplitMeasurement) -> bool:
    """Return whether more is explained of training episodes for certain."""
    return run.train is not None and run.train.explains and run.train.gain.low > val.gain.high


def _of_training_episodes(run: Measurements, val: SplitMeasurement) -> str:
    """Say that more is explained of training episodes, or more and more, where that is certain.

    How much more is not said: ``train/memory_gain`` is that of the state at the end of a chunk, at targets still to come,
    and lower than the gain at the targets' own steps.
    """
    if run.history.train_rise() is not None:
        return "In training episodes the gain still rises"
    if run.train is None or not _more_of_training(run, val):
        return ""
    return f"In training episodes it explains {amount(run.train.gain.mean)} bits"
