"""When the memory gain still rises, and when more updates are advised: a rise counts where it is more than scatter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.callbacks.verdict.measuring.trend import finite, outlook, rises
from memup_lightning.callbacks.verdict.rules.finding import Finding
from tests.callbacks.made_runs import HALF, RISING, every_500, judged, run, split

JUMPS = {
    "three": (0.16, -0.01, 0.24),
    "after-others": (0.0, 0.1, 0.02, 0.16, -0.01, 0.24),
    "four": (0.1, 0.16, -0.01, 0.24),
    "two-downs": (0.3, 0.1, 0.35, 0.05, 0.4, 0.2, 0.45),
}
FLAT_AT_THE_END = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.36, 0.42, 0.48, 0.46, 0.46, 0.47)
SLOW = st.tuples(st.integers(8, 40), st.floats(0.15, 0.9), st.integers(0, 2**16))


def verdict(gains: tuple[float, ...], **given: object) -> Finding:
    return judged(run(HALF, **{"history": every_500(*gains), "updates": 500 * len(gains)} | given))[0]


def longer(found: Finding) -> bool:
    return "--trainer.max_steps" in str(found.try_first)


@pytest.mark.parametrize("name", JUMPS)
def test_a_gain_that_jumps_about_does_not_advise_more_updates(name: str) -> None:
    found = verdict(JUMPS[name])
    assert "The validations do not show whether the gain still rises" in found.sentence
    assert not longer(found)
    assert "if the rest should be no noise, give more training episodes" in str(found.try_first)
    higher = judged(run(HALF, split(0.9), history=every_500(*JUMPS[name]), updates=2000))[0]
    assert not longer(higher)
    assert "more training episodes" in str(higher.try_first)


def test_the_range_of_a_gain_that_jumps_about_is_given() -> None:
    assert "at the last 3 of them it was -0.01 to 0.24 bits" in verdict(JUMPS["three"]).sentence


def test_a_gain_that_stopped_rising_in_the_last_third_does_not_advise_more_updates() -> None:
    found = verdict(FLAT_AT_THE_END)
    assert found.name == "partly_explained"
    assert not longer(found)
    assert not longer(verdict((0.1, 0.3, 0.48, 0.46, 0.46, 0.47)))
    assert longer(verdict(FLAT_AT_THE_END[:9]))


def test_a_run_that_went_back_to_older_weights_does_not_advise_more_updates() -> None:
    found = verdict(JUMPS["three"], memorized=True)
    assert "give more training episodes" in str(found.try_first)


def test_few_validations_that_all_rise_advise_more_updates() -> None:
    for gains in ((0.1, 0.3), (0.1, 0.3, 0.4)):
        assert longer(verdict(gains, updates=3000))
    assert not longer(verdict((0.3,), updates=3000))
    assert longer(verdict((0.3,), updates=500))


@settings(max_examples=40, deadline=None)
@given(SLOW)
def test_a_slow_rise_over_thousands_of_updates_advises_more_of_them(curve: tuple[int, float, int]) -> None:
    count, height, seed = curve
    noise = np.random.default_rng(seed).normal(0, 0.02 * height, count)
    gains = tuple((0.02 + height * np.linspace(0, 1, count) + noise).tolist())
    assert longer(verdict(gains))


@pytest.mark.parametrize("shape", [1.0, 0.5, 2.0])
def test_a_gain_that_slows_down_or_speeds_up_still_rises(shape: float) -> None:
    assert longer(verdict(tuple((0.6 * np.linspace(0, 1, 24) ** shape).tolist())))


def test_a_plateau_that_is_left_late_advises_more_updates() -> None:
    assert longer(verdict((*[0.01, -0.01] * 8, 0.02, 0.06, 0.15, 0.3)))


@settings(max_examples=5, deadline=None)
@given(st.sampled_from([4, 6, 8, 12, 24]))
def test_noise_alone_seldom_counts_as_a_rise(count: int) -> None:
    draws = np.random.default_rng(count).normal(0.3, 0.1, (300, count))
    found = [rises(finite(every_500(*row.tolist()))) for row in draws]
    assert np.mean(found) < 0.09


RARE_OUTCOME = (0.001, 0.002, 0.003, 0.004, 0.003, 0.006, 0.004, 0.007, 0.008, 0.020, 0.022, 0.025, 0.026)


def test_what_is_explained_of_a_rare_outcome_still_rises_where_its_targets_do_not_show_it() -> None:
    scattered = (0.001, 0.003, 0.005, 0.004, 0.001, 0.003, 0.008, 0.012, 0.004, 0.023, 0.02, 0.03, 0.029)
    given = {"memorized": True, "rare": 0.006, "explained_everywhere": every_500(*RARE_OUTCOME)}
    found = verdict(scattered, **given)
    assert longer(found)
    assert "it explains more and more, from 0.006 bits at update 3,000 to 0.026 at update 6,500" in found.sentence
    assert not longer(verdict(scattered, **given | {"explained_everywhere": every_500(*RARE_OUTCOME[::-1])}))


# Two runs on tables: the gain at the targets, what is explained of the evaluated steps, and the gain in training chunks.
JAMS = (0.22, 0.268, 0.284, 0.133), (0.027, 0.035, 0.034, 0.030), (0.031, 0.069, 0.143, 0.147)
TANKS = (1.107, 1.374, 1.382, 1.069), (0.364, 0.561, 0.552, 0.472), (0.408, 0.404, 0.576, 0.721)


@pytest.mark.parametrize("curves", [JAMS, TANKS], ids=["jams", "tanks"])
@pytest.mark.parametrize("ended", [{"best": (1000, 0.268), "fell": True}, {"best": (1000, 0.268)}, {}])
def test_a_rise_in_training_episodes_alone_does_not_advise_more_updates(
    curves: tuple[tuple[float, ...], ...], ended: dict[str, object]
) -> None:
    gains, explained, trained = curves
    found = verdict(gains, train_gains=trained, explained_everywhere=every_500(*explained), **ended)
    assert not longer(found)
    assert "more training episodes" in str(found.try_first)
    assert str(trained[-1]) not in found.sentence, "it is measured otherwise"


@pytest.mark.parametrize(("update", "advised"), [(2000, False), (5500, True)])
def test_a_rise_until_the_last_validations_advises_more_updates_and_one_before_earlier_weights_does_not(
    update: int, advised: bool
) -> None:
    gains = tuple((0.6 * np.linspace(0, 1, 12)).tolist())
    found = verdict(gains, best=(update, 0.5), fell=True)
    assert longer(found) == advised
    assert longer(verdict((0.1, 0.3), updates=1000)), "too few validations to show anything"
    assert not longer(verdict((0.1, 0.3), updates=1000, best=(500, 0.1), fell=True))
    assert "more updates alone would hardly explain more" in verdict((0.3, 0.1), best=(500, 0.3), fell=True).sentence


def test_of_a_rare_outcome_more_updates_are_advised_only_where_more_and_more_is_explained() -> None:
    given = {"history": every_500(*[0.0] * 13), "updates": 6500, "rare": 0.01, "chunk_length": 200}
    rises = given | {"explained_everywhere": every_500(*RARE_OUTCOME)}
    assert "else train longer" in str(judged(run(split(0.0), **rises))[0].try_first)
    assert "train longer" not in str(judged(run(split(0.0), **given))[0].try_first)
    assert "train longer" not in str(judged(run(split(0.0), best=(500, 0.01), fell=True, **rises))[0].try_first)


LEVELS_OFF = tuple((0.5 - 0.4 * np.exp(-np.arange(1, 17) / 3)).tolist())
"""A gain that comes near to 0.5 bits, and rises at every validation."""


def test_a_gain_that_levels_off_says_what_more_updates_would_add_and_does_not_advise_them() -> None:
    for count in (12, 16):
        found = verdict(LEVELS_OFF[:count], memory=("LSTM", 64))
        assert found.name == "partly_explained"
        assert not longer(found)
        assert (
            "The gain hardly rises any more. By its trend, as many updates again would add about 0.0" in found.sentence
        )
        assert "bits to its 0." in found.sentence
        assert "this may be all that can be known, or the rest is out of reach of this memory" in found.sentence
        assert "a wider memory" in str(found.try_first)
    assert verdict(LEVELS_OFF[:6]).name == "undertrained"
    rare = verdict(LEVELS_OFF, rare=0.01)
    assert "the rest may be noise, too rare to be learned so soon" in rare.sentence
    assert "three times as many others" in str(rare.try_first)


@pytest.mark.parametrize(
    "given",
    [
        {"memorized": True},
        {"train_gains": tuple((0.8 * np.linspace(0, 1, 16)).tolist())},
        {"best": (3000, 0.49), "fell": True},
    ],
    ids=["went back", "rises in training episodes", "ends with earlier weights"],
)
def test_what_more_episodes_may_add_is_not_called_all_that_can_be_known(given: dict[str, object]) -> None:
    found = verdict(LEVELS_OFF, **given)
    assert "all that can be known" not in found.sentence
    assert not longer(found)
    assert "more training episodes" in str(found.try_first)


def test_three_validations_that_level_off_do_not_advise_more_updates() -> None:
    assert longer(verdict((1.0, 1.5, 1.9)))
    assert not longer(verdict((1.0, 1.9, 1.96)))


def test_targets_that_level_off_while_all_evaluated_steps_are_explained_better_advise_more_updates() -> None:
    everywhere = every_500(*(0.02 * np.arange(1, 17)).tolist())
    found = verdict(LEVELS_OFF, explained_everywhere=everywhere)
    assert longer(found)
    assert "At all steps that validations evaluate it explains more and more" in found.sentence


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 40), st.floats(0.1, 2.0), st.floats(0.04, 0.1), st.integers(0, 2**16))
def test_an_exponential_that_has_levelled_off_seldom_advises_more_updates(
    count: int, height: float, time: float, seed: int
) -> None:
    updates = np.arange(1, count + 1) / count
    noise = np.random.default_rng(seed).normal(0, 0.001 * height, count)
    assert not longer(verdict(tuple((height * (1 - np.exp(-updates / time)) + noise).tolist())))


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 40), st.floats(0.1, 2.0), st.floats(0.02, 1.0))
def test_a_gain_that_grows_with_the_logarithm_of_the_updates_advises_more_of_them(
    count: int, height: float, begin: float
) -> None:
    updates = np.arange(1, count + 1) / count
    gains = height * np.log(1 + updates / begin)
    assert longer(verdict(tuple((gains / gains[-1] * height).tolist())))


def test_an_outlook_follows_the_trend() -> None:
    def added(gains: np.ndarray) -> float:
        found = outlook(finite(every_500(*gains.tolist())))
        assert found is not None
        return found.added

    updates = np.arange(1, 17) / 16
    assert added(updates) == pytest.approx(1.0)
    assert added(1 - np.exp(-updates / 0.3)) == pytest.approx(np.exp(-1 / 0.3), rel=0.3)
    assert added(np.ones(16)) == pytest.approx(0.0, abs=1e-9)
    assert added(1 - updates) == 0.0
    assert outlook(finite(every_500(0.1, 0.2))) is None


def test_a_small_gain_among_noise_is_not_called_standing() -> None:
    noisy = every_500(*[0.035, 0.071, 0.022, 0.036, 0.06, 0.031, 0.08, 0.04, 0.121, 0.065])
    assert run(HALF, history=noisy).history.standing_since() is None
    assert run(HALF, history=every_500(*[0.05] * 12)).history.standing_since() == 500


def test_a_small_rise_within_the_noise_is_no_trend() -> None:
    noisy = tuple((500.0 * n, 0.4 + 0.3 * (-1) ** n) for n in range(1, 21))
    assert run(HALF, history=noisy).history.rise() is None
    assert run(HALF, history=RISING).history.rise() == (2500, 0.25, 5000, 0.5)
    assert run(HALF, history=RISING[:3]).history.rise() is None
    assert run(HALF, history=((1.0, math.nan), *RISING)).history.rise() == (2500, 0.25, 5000, 0.5)
    assert run(HALF, history=every_500(-0.12, 0.3, 1.17, 1.29)).history.rise() == (1000, 0.3, 2000, 1.29)


def test_numbers_whose_squared_error_falls_are_learned_further_where_their_bits_do_not_show_it() -> None:
    """Payments of one step in 200: the likelihood takes them for outliers, until the memory is sure of the step."""
    val = split(0.02, explained=0.65)
    given = {"history": every_500(0.0, -0.01, -0.02, 0.01), "updates": 2000, "outcome": "number"}
    falls = judged(run(val, error_explained=every_500(0.0, 0.04, 0.37, 0.7), **given))[0]
    assert falls.name == "undertrained"
    assert "more and more of the squared error, from 4% at update 1,000 to 70% at update 2,000" in falls.sentence
    assert longer(falls)
    stands = judged(run(val, error_explained=every_500(0.64, 0.65, 0.64, 0.65), **given))[0]
    assert stands.name == "partly_explained"
    assert not longer(stands)
