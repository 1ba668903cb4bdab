"""Rules of what a memory gains: over a constant, in other episodes, and during training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from memup_lightning.callbacks.verdict.measuring.split_measurement import SplitMeasurement
from tests.callbacks.made_runs import (
    ALL,
    FLAT,
    HALF,
    HELD,
    NOTHING,
    RISING,
    STANDING,
    changed,
    constant,
    every_500,
    judged,
    run,
    split,
)


def test_more_updates_are_proposed_only_where_the_gain_may_still_rise() -> None:
    known = judged(run(HALF, history=STANDING[:3], updates=1500))[0]
    assert "or not learned yet" in known.sentence
    assert "--trainer.max_steps=3000" in str(known.try_first)
    few = judged(run(HALF, history=STANDING[:3]))[0]
    assert "So few validations do not show whether the gain still rises" in few.sentence
    assert "validate more often" in str(few.try_first)
    assert judged(run(HALF, history=STANDING))[0].try_first is None  # this memory cannot be made wider
    short = tuple((updates / 5, gain) for updates, gain in STANDING)
    assert run(HALF, history=short).history.standing_since() is None


def test_the_rest_is_called_noise_only_as_far_as_training_episodes_allow_it() -> None:
    soon = STANDING[:5]
    gains = (0.1, 0.2, 0.31, 0.4, 0.52)
    better = every_500(0.2, 0.45, 0.3, 0.2, 0.55)
    rising = judged(run(HALF, history=better, train_gains=gains))[0]
    assert rising.name == "partly_explained"
    assert "In training episodes the gain still rises: a part of the rest is not" in rising.sentence
    assert "--trainer.max_steps=10000" in str(rising.try_first)
    alone = judged(run(HALF, history=soon, train_gains=gains))[0]
    assert "In training episodes the gain still rises, and in validation episodes it does not" in alone.sentence
    assert str(alone.try_first).startswith("leave out inputs that cannot matter")
    swinging = judged(run(HALF, history=soon, train_gains=(0.5, 0.4, 0.5, 0.45, 0.5)))[0]
    assert "do not show whether the gain still rises" in swinging.sentence
    apart = judged(run(HALF, split(0.59), history=soon, train_gains=gains))[0]
    assert "In training episodes the gain still rises: the rest may be noise" in apart.sentence
    assert "give more training episodes" in str(apart.try_first)
    higher = judged(run(HALF, split(0.59), history=soon))[0]
    assert "In training episodes it explains 0.59 bits" in higher.sentence
    assert "give more training episodes" in str(higher.try_first)
    assert "not learned yet, at least" in judged(run(HALF, history=RISING, best=(5000, 0.5), fell=True))[0].sentence


def test_a_gain_that_stands_names_what_training_episodes_gain_more() -> None:
    found = judged(run(HALF, split(0.59), history=STANDING, memory=("LSTM", 64)))[0]
    assert "needs more training episodes" in found.sentence
    assert found.sentence.endswith("In training episodes it explains 0.59 bits.")
    assert "give more training episodes" in str(found.try_first)


def test_a_gain_that_may_rise_within_its_noise_does_not_stand() -> None:
    noisy = tuple((500.0 * n, 0.4 + 0.3 * (-1) ** n) for n in range(1, 21))
    assert run(HALF, history=noisy).history.standing_since() is None
    assert run(HALF, history=RISING).history.standing_since() is None
    assert run(HALF, history=STANDING).history.standing_since() == 1000


def test_a_gain_that_rose_once_and_stands_since_does_not_still_rise() -> None:
    late = tuple((500.0 * n, 0.6 * (n > 20) + 0.01 * (-1) ** n) for n in range(1, 34))
    assert run(HALF, history=late).history.standing_since() == 10_500
    assert judged(run(HALF, history=late, updates=16_500))[0].name == "partly_explained"
    soon = late[:24]  # 2,000 updates later
    assert run(HALF, history=soon).history.standing_since() is None
    assert judged(run(HALF, history=soon))[0].name == "undertrained"


def test_nothing_holds_where_the_best_weights_explain_nothing_either() -> None:
    worse = ((500.0, -0.005), (9000.0, -0.28))
    found = judged(run(split(-0.005), best=(500, -0.005), history=worse))[0]
    assert found.name == "memorized"
    assert "is -0.005 bits with the best weights, those of update 500, and -0.28 with the last ones" in found.sentence


def test_weights_that_came_back_after_a_fall_in_training_episodes_too_are_no_over_fitting() -> None:
    over = run(HALF, history=HELD, best=(500, 0.5))
    assert judged(over)[0].name == "overfitted"
    assert judged(over)[0].sentence.endswith("The rest may be noise, or need more training episodes.")
    found = [finding.name for finding in judged(changed(over, fell=True))]
    assert found[0] == "partly_explained"
    assert "restored" in found


def test_a_memory_that_never_learned_its_training_episodes_is_not_over_fitted_by_weights_that_were_restored() -> None:
    given = {"best": (3000, 0.03), "history": every_500(*[0.01] * 8, -4.0), "chunk_length": 200}
    swings = (0.08, 0.06, 0.18, 0.13, 0.03, 0.14, 0.06, 0.14, 0.1)
    found = judged(run(NOTHING, train_gains=swings, **given))
    assert [finding.name for finding in found] == ["blind", "restored"]
    assert "update 3,000" in found[1].sentence
    assert "0.03 bits with these weights, and -4.00 with the last ones" in found[1].sentence
    rises = (0.0, 0.04, -0.01, 0.04, 0.08, 0.11, 0.2, 0.26, 0.22)
    assert judged(run(NOTHING, train_gains=rises, **given))[0].name == "memorized"
    assert judged(run(NOTHING, **given))[0].name == "memorized"  # nothing is known of its training episodes


def test_a_little_learned_in_training_episodes_alone_is_not_nothing() -> None:
    assert judged(run(split(0.0), split(0.09), history=FLAT))[0].name == "memorized"


def test_an_explained_run_says_that_it_ends_with_other_weights() -> None:
    found = judged(run(ALL, best=(15_500, 0.98), history=((19_000.0, -1.66),)))
    assert [finding.name for finding in found] == ["explained", "restored", "reach"]
    assert "update 15,500" in found[1].sentence
    assert "-1.66 with the last ones" in found[1].sentence


def test_a_gain_over_a_predictor_worse_than_a_constant_is_no_gain() -> None:
    bare = judged(run(constant(0.06, local=2.2, memory=0.99)))
    assert bare[0].name == "worse_than_constant"
    assert "not certainly better" in bare[0].sentence
    better = judged(run(constant(1.0, local=1.4, memory=0.04)))
    assert [finding.name for finding in better] == ["explained", "poor_reference"]
    assert "0.96 of 1.00 bits" in better[0].sentence
    assert "it leaves 1.4 bits" in better[1].sentence
    gains = replace(constant(2.0, local=1.1, memory=1.3), curve=HALF.curve)
    number = run(gains, outcome="number")
    assert [finding.name for finding in judged(number)] == ["worse_than_constant"]  # half of no gain is no reach
    assert "leaves 2 (their variance)" in judged(number)[0].sentence


def test_large_outcomes_among_many_small_ones_are_badly_scaled_where_nothing_is_explained() -> None:
    given: dict[str, Any] = {"outcome": "number", "outcome_spread": 100.0, "history": FLAT}
    found = judged(run(constant(2.08e6, local=1.28, memory=1.0), **given))[0]
    assert found.name == "badly_scaled"
    assert (
        "they have a spread of 1.44e+03 at 64 steps of 64 validation episodes, and are divided by 100" in found.sentence
    )
    assert str(found.try_first).startswith("give the small ones one value, 0 say")
    learned = [judged(run(replace(x, own=2.08e6), **given))[0].name for x in (ALL, HALF)]
    assert learned == ["explained", "partly_explained"]
    usual = judged(run(constant(2.08e6, local=1.28, memory=1.0), **given | {"outcome_spread": 1400.0}))[0]
    assert usual.name == "worse_than_constant"


def test_a_reference_is_called_poor_only_where_a_good_part_of_the_gain_is_its_badness() -> None:
    def found(val: SplitMeasurement, **given: Any) -> list[str]:
        return [finding.name for finding in judged(run(val, **given))]

    assert "poor_reference" not in found(constant(1.0, local=1.1, memory=0.04))  # a tenth of it
    assert "poor_reference" not in found(constant(1.0, local=1.4, memory=0.04), awaits_selection=True)
    assert "poor_reference" not in found(replace(constant(1.0, local=1.4, memory=0.04), episodes=9))
    numbers = replace(constant(2.0, local=1.1, memory=0.03), curve=split(2.4, 2.4).curve)
    # The likelihood of numbers is not their squared error.
    for excess, poor in ((-0.5, False), (0.2, False), (0.9, True)):
        assert ("poor_reference" in found(replace(numbers, excess_bits=excess), outcome="number")) == poor
    said = judged(run(replace(numbers, excess_bits=0.9), outcome="number"))[1].sentence
    assert (
        "The share of the verdict is measured from the constant, all bits from that predictor: about 0.90 bits" in said
    )


def test_predictions_that_are_as_good_as_a_constant_are_blind() -> None:
    assert judged(run(constant(1.0, local=1.0, memory=1.01), history=FLAT))[0].name == "blind"


def test_over_fitting_comes_before_what_follows_from_it() -> None:
    val, train = constant(1.0, local=1.0, memory=2.4), constant(1.0, local=1.0, memory=0.2)
    assert [finding.name for finding in judged(run(val, train, history=HELD))] == ["overfitted"]
    both = judged(run(constant(1.0, local=1.2, memory=1.3), train))
    assert [finding.name for finding in both] == ["memorized", "worse_than_constant"]
    little = judged(run(constant(1.0, local=1.2, memory=1.0), constant(1.0, local=1.2, memory=0.94)))
    assert little[0].name == "worse_than_constant"
    assert "are like training episodes" in str(little[0].try_first)


def test_targets_are_not_called_noise_before_anything_is_explained() -> None:
    assert [finding.name for finding in judged(run(NOTHING, noise=1.0, history=FLAT))] == ["blind"]


def test_sure_and_wrong_predictions_are_named_where_they_cost_much() -> None:
    sure = judged(run(split(0.95, outlier_bits=0.3)))[0]
    assert sure.name == "explained"
    assert "cost 0.30 bits more" in sure.sentence
    assert "cost" not in judged(run(split(0.95, outlier_bits=0.01)))[0].sentence


def test_a_run_diverged_though_bounded_losses_are_finite() -> None:
    assert judged(run(split(-6.0, outlier_bits=1e9)))[0].name == "diverged"
    assert judged(run(split(-6.0, outlier_bits=math.nan)))[0].name == "diverged"


def test_outcomes_that_are_rare_are_not_called_noise_alone() -> None:
    few = {"history": STANDING, "memory": ("LSTM", 64), "rare": 0.026}
    found = judged(run(HALF, **few))[0]
    assert found.name == "partly_explained"
    assert "too rare to be learned so soon (2.6% of the outcomes are not of the most frequent class)" in found.sentence
    assert "three times as many others" in str(found.try_first)
    blind = judged(run(NOTHING, history=FLAT, longest=3000, rare=0.026))[0]
    assert blind.name == "blind"
    assert "too rare" in blind.sentence
    assert "three times as many others" in str(blind.try_first)
    for other in ({"rare": 0.3}, {"rare": None}, {"episodes_option": "num_train"}):  # frequent; numbers; made as wanted
        assert "rare" not in judged(run(HALF, **few | other))[0].sentence


def test_a_gain_of_the_whole_validation_has_no_interval() -> None:
    point = HALF.curve[0]
    alone = replace(HALF, curve=(replace(point, gain=point.gain._replace(low=point.gain.mean, high=point.gain.mean)),))
    assert "interval" in judged(run(HALF, history=STANDING))[0].sentence
    assert "interval" not in judged(run(alone, history=STANDING))[0].sentence
