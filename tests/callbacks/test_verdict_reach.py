"""The remark on how far back the outcomes are known: only what is certain, and only where it was learned."""

from __future__ import annotations

from dataclasses import replace

from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.measuring.split_measurement import CurvePoint, SplitMeasurement
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.modules.evaluation.estimate import Estimate
from tests.callbacks.made_runs import ALL, judged, near, run, split


def remark(measurements: Measurements) -> Finding | None:
    return {finding.name: finding for finding in judged(measurements)}.get("reach")


def wide(point: CurvePoint) -> CurvePoint:
    """The same gain, of which it is not certain whether it is half."""
    return replace(point, half=Estimate(point.half.mean, point.half.mean - 0.4, point.half.mean + 0.4))


def test_the_reach_is_the_distance_at_which_half_of_the_gain_is_lost() -> None:
    reach = {finding.name: finding for finding in judged(run(split(0.95, 0.95, 0.9, 0.2, 0.0)))}["reach"]
    assert reach.numbers == {"furthest": 2, "half_lost": 4}
    assert "half of the gain is there 2 steps before" in reach.sentence
    assert "not 4 steps before" in reach.sentence
    assert "do not give the outcomes away" in reach.sentence  # a count is not known before its events
    whole = {finding.name: finding for finding in judged(run(ALL))}["reach"]
    assert whole.numbers == {"furthest": 2, "half_lost": None}


def test_a_gain_that_is_half_by_chance_at_some_distance_is_no_reach() -> None:
    def furthest(val: SplitMeasurement, train: SplitMeasurement) -> int:
        return int({finding.name: finding for finding in judged(run(val, train))}["reach"].numbers["furthest"])

    count = split(0.6, 0.6, 0.5, 0.2, 0.1)
    point = count.curve[-1]  # of few episodes, whose gain at the outcome happens to be small
    lucky = replace(point, gain=Estimate(0.2, 0.02, 0.4), change=near(-0.1), half=Estimate(0.05, -0.1, 0.2))
    assert furthest(replace(count, curve=(*count.curve[:-1], lucky)), count) == 2
    assert furthest(replace(count, curve=(*count.curve[:3], lucky)), count) == 2
    assert furthest(split(0.6, 0.6, 0.5, 0.5, 0.5), count) == 2


def test_a_gain_that_may_be_half_is_not_called_lost() -> None:
    known = split(0.5, 0.4, 0.4, 0.4)
    noisy = replace(known, curve=(known.curve[0], *map(wide, known.curve[1:])))
    assert remark(run(noisy)) is None  # a gain of few episodes, the same at every distance
    partly = replace(known, curve=(*known.curve[:2], *map(wide, known.curve[2:])))
    found = remark(run(partly))
    assert found is not None
    assert found.numbers == {"furthest": 1, "half_lost": None}
    assert "further back it is not certain" in found.sentence
    falls = split(0.6, 0.3, 0.05, 0.05)  # at 1 step it may be half, at 2 steps it is not
    lost = remark(run(falls))
    assert lost is not None
    assert lost.numbers == {"furthest": 0, "half_lost": 2}
    assert "at the outcomes' own step, but not 2 steps before" in lost.sentence


def test_few_episodes_show_no_reach() -> None:
    falls = split(0.6, 0.1, 0.05)
    few = replace(falls, curve=tuple(replace(point, episodes=9) for point in falls.curve))
    assert remark(run(falls)) is not None
    assert remark(run(few)) is None


def test_a_predictor_that_learned_from_the_states_of_the_own_step_alone_has_no_reach() -> None:
    falls = split(0.6, 0.1, 0.05)
    assert remark(run(falls, needs_targets=False)) is None  # as of truncated BPTT
    assert remark(run(falls, num_targets=0)) is None


def test_a_predictor_that_was_led_by_the_outcomes_of_own_steps_has_no_reach() -> None:
    falls = split(0.6, 0.1, 0.05)
    for weight in (0.02, 0.1):  # after a second start, and after going back
        assert remark(run(falls, target_weight=weight)) is None
    assert remark(run(falls, target_weight=1.0)) is not None
