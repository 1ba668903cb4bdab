"""Decline: what the validations after the best one show."""

from __future__ import annotations

import pytest

from memup_lightning.callbacks.overfitting.decline import BestValidation, Decline

BEST = BestValidation(100, 0.4, 0.4, {"val/nll": 0.5, "val/local_nll": 1.0}, {})
LITTLE, MUCH, NONE = (0.4, 0.53), (0.1, 0.7), (0.4, 0.505)
"""Gain and NLL of validations that lose 6%, 40% and 1% of what was explained."""


def after(*validations: tuple[tuple[float, float], float], decays: bool = False) -> Decline:
    """Return what is known after validations, of each of which gain, NLL and gain in training episodes are given."""
    decline = Decline()
    for (gain, nll), train_gain in validations:
        decline.observe(BEST, gain, nll, train_gain, decays)
    return decline


def counts(decline: Decline) -> tuple[int, int, int]:
    return decline.lower, decline.memorizing, decline.overfitted


def test_each_counts_the_validations_in_a_row_by_itself() -> None:
    assert counts(after((LITTLE, 0.3), (LITTLE, 0.5), (MUCH, 0.6))) == (3, 2, 1)
    assert counts(after((MUCH, 0.6), (MUCH, 0.6), (MUCH, 0.3))) == (3, 0, 3)


def test_one_that_lost_nothing_begins_all_counts_again() -> None:
    assert counts(after((MUCH, 0.6), (NONE, 0.6))) == (0, 0, 0)


def test_under_weight_decay_training_episodes_do_not_matter() -> None:
    assert counts(after((LITTLE, 0.3), decays=True)) == (1, 1, 0)


@pytest.mark.parametrize(
    ("lost", "certain"), [((LITTLE,), False), ((LITTLE, LITTLE), True), ((MUCH,), True), ((MUCH, NONE), False)]
)
def test_a_loss_is_no_chance_at_two_validations_or_at_one_where_it_is_large(
    lost: tuple[tuple[float, float], ...], certain: bool
) -> None:
    decline = after(*((x, 0.5) for x in lost))
    assert decline.is_certain(decline.lower) == certain
