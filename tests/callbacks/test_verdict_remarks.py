"""Remark on predictions that are worse with memory than without, over all evaluated steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.callbacks.made_runs import ALL, HALF, NOTHING, STANDING, constant, judged, run


def _said(**given: Any) -> str:
    given = {"val": HALF, "history": STANDING, "nll_everywhere": (0.83, 0.71)} | given
    found = {finding.name: finding.sentence for finding in judged(run(given.pop("val"), **given))}
    return found.get("worse_than_local", "")


def test_a_memory_that_helps_at_targets_and_harms_elsewhere_shows_in_both_losses() -> None:
    said = _said(steps="targets", num_targets=4)
    assert "worse than without: val/nll is 0.83, val/local_nll 0.71." in said
    assert "num_targets=16" in said
    assert "at the targets alone" in _said(val=ALL, steps="targets")
    assert "fewer inputs" in _said(steps="marked")
    assert _said(val=NOTHING).endswith("The local context alone predicts better.")


@pytest.mark.parametrize(
    ("outcome", "losses", "worse"),
    [
        ("class", (0.60, 0.71), False),
        ("class", (0.715, 0.71), False),  # by chance
        ("class", (0.040, 0.034), True),  # of a rare class
        ("class", (6.1e-8, 1.9e-8), False),  # outcomes that are all alike
        ("number", (-1.36, -1.37), False),
        ("number", (0.95, -1.37), True),
        ("number", (float("nan"), 1.0), False),
    ],
)
def test_losses_are_called_worse_only_where_they_clearly_are(
    outcome: str, losses: tuple[float, float], worse: bool
) -> None:
    assert bool(_said(outcome=outcome, nll_everywhere=losses)) == worse


def test_nothing_is_said_twice_and_nothing_before_there_are_targets() -> None:
    assert not _said(val=constant(0.5, local=1.0, memory=1.2))  # worse than a constant: the verdict
    assert not _said(awaits_selection=True)
    assert not _said(nll_everywhere=None)
