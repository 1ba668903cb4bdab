"""Decline: counts of validations in a row, which come back from a state, and how many are no chance."""

from __future__ import annotations

from memup_lightning.callbacks.decline import Decline, is_certain


def after(*validations: str) -> Decline:
    """The counts after validations, of each of which is said what it was: ``l``, ``m``, ``o`` or several."""
    decline = Decline()
    for found in validations:
        decline.observe(lower="l" in found, memorizing="m" in found, overfitted="o" in found)
    return decline


def test_each_counts_the_validations_in_a_row_by_itself() -> None:
    assert after("l", "lm", "lmo").state_dict() == {"lower": 3, "memorizing": 2, "overfitted": 1}


def test_one_that_is_not_of_the_kind_begins_its_count_again() -> None:
    assert after("lmo", "lmo", "l", "lo").state_dict() == {"lower": 4, "memorizing": 0, "overfitted": 1}


def test_all_begin_again_at_once() -> None:
    decline = after("lmo", "lmo")
    decline.clear()
    assert decline.state_dict() == Decline().state_dict() == {"lower": 0, "memorizing": 0, "overfitted": 0}


def test_a_state_is_counted_on_from() -> None:
    decline = Decline()
    decline.load_state_dict(after("lmo", "lm", "lm").state_dict())
    decline.observe(lower=True, memorizing=True, overfitted=True)
    assert decline.state_dict() == {"lower": 4, "memorizing": 4, "overfitted": 1}


def test_a_loss_is_no_chance_at_two_validations_or_at_one_where_it_is_large() -> None:
    assert [is_certain(times, much) for times in (0, 1, 2) for much in (False, True)] == [0, 0, 0, 1, 1, 1]
