"""Which steps a selector draws: in proportion to uncertainty, within a margin, whatever the rarity of a class."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.data.targets import (
    NOWHERE,
    Proportional,
    Scorable,
    Selector,
    TargetTable,
    TopK,
)
from memup_lightning.exceptions import MemUPError
from tests.data.scored_episodes import Scores, fill, table_for


def softmax(u: Scores) -> npt.NDArray[np.float64]:
    e = np.exp(u.astype(float) - u.max())
    return np.asarray(e / e.sum())


EPISODES = 20_000
U = np.array([0.0, 1.0, -0.5, 0.7, 0.2], np.float32)


def drawn(selector: Selector, refreshes: int = 1, u: Scores = U, of_classes: bool = False) -> TargetTable:
    table = TargetTable(selector, EPISODES)
    for _ in range(refreshes):
        fill(table, [u] * EPISODES, [2], of_classes)
    return table


def frequencies(table: TargetTable, start: int) -> npt.NDArray[np.float64]:
    """How often each step is among the targets of a chunk that begins at ``start``, over all episodes."""
    chosen = table.select(np.arange(EPISODES), np.full(EPISODES, start))
    return np.bincount(chosen[chosen != NOWHERE], minlength=len(U)) / EPISODES


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("start", [0, 2])
def test_one_target_is_drawn_in_proportion_to_uncertainty(temperature: float, start: int) -> None:
    found = frequencies(drawn(Proportional(1, temperature)), start)
    expected = np.concatenate([np.zeros(start), softmax(U[start:] / temperature)])
    assert np.abs(found - expected).max() < 4 * 0.5 / np.sqrt(EPISODES)


def test_two_targets_are_drawn_without_replacement() -> None:
    p = softmax(U)
    second = np.array([sum(p[i] * p[j] / (1 - p[i]) for i in range(len(U)) if i != j) for j in range(len(U))])
    found = frequencies(drawn(Proportional(2, 1.0)), 0)
    assert np.abs(found - (p + second)).max() < 4 * 0.5 / np.sqrt(EPISODES)


def test_draws_change_with_the_refresh_and_with_the_seed_and_with_nothing_else() -> None:
    def choice(**kwargs: Any) -> npt.NDArray[np.int64]:
        table = drawn(Proportional(1, 1.0, seed=kwargs.get("seed", 0)), kwargs.get("refreshes", 1))
        return table.select(np.arange(EPISODES), np.zeros(EPISODES, np.int64))[:, 0]

    once = choice()
    assert np.array_equal(once, choice())
    agree = float((softmax(U) ** 2).sum())  # how often independent draws coincide
    assert abs((once == choice(refreshes=2)).mean() - agree) < 0.02
    assert abs((once == choice(seed=1)).mean() - agree) < 0.02


def test_a_low_temperature_chooses_like_top_k() -> None:
    assert frequencies(drawn(Proportional(1, 1e-3)), 2).tolist() == [0, 0, 0, 1, 0]


def test_a_margin_leaves_out_what_is_much_more_certain_than_the_rest() -> None:
    table = drawn(Proportional(4, 1.0, margin=0.4))
    assert frequencies(table, 0).tolist() == [0, 1, 0, 1, 0]
    assert frequencies(table, 2).tolist() == [0, 0, 0, 1, 0]
    assert frequencies(table, 4).tolist() == [0, 0, 0, 0, 0]
    assert frequencies(drawn(Proportional(4, 1.0)), 2).tolist() == [0, 0, 1, 1, 1]


RARE = np.array([0.0, 0.02, 0.14, 0.03, 0.13], np.float32)  # nats: a class of one step in a hundred


def test_of_a_rare_class_it_is_the_ratio_of_entropies_that_counts() -> None:
    """All are small: in nats, no one of them is much larger than another."""
    found = frequencies(drawn(Proportional(1), u=RARE, of_classes=True), 0)
    expected = RARE ** (math.log(2) / 0.2)  # a power of the entropy, whose slope at one bit is 1 / temperature
    assert np.abs(found - expected / expected.sum()).max() < 4 * 0.5 / np.sqrt(EPISODES)
    assert found[[2, 4]].sum() > 0.95 > 0.6 > frequencies(drawn(Proportional(1), u=RARE), 0)[[2, 4]].sum()
    with_margin = frequencies(drawn(Proportional(4, margin=0.3), u=RARE, of_classes=True), 0)
    assert with_margin.tolist() == [0, 0, 1, 0, 1]


@given(st.floats(1e-6, 1.0))
@settings(max_examples=10, deadline=None)
def test_draws_of_classes_do_not_depend_on_how_rare_they_are(scale: float) -> None:
    steps = Scorable(
        torch.from_numpy(RARE)[None], torch.zeros(1, dtype=torch.int64), torch.arange(5)[None], 0, None, True
    )
    scaled = dataclasses.replace(steps, uncertainty=steps.uncertainty * scale)
    distance = Proportional(1).score(steps) - Proportional(1).score(scaled)
    torch.testing.assert_close(distance[0, 1:], distance[0, 1].expand(4), rtol=1e-4, atol=1e-4)


def test_above_one_bit_classes_are_drawn_as_numbers_are() -> None:
    u = np.array([0.7, 1.0, 1.3, 0.9, 2.0], np.float32)
    both = [
        drawn(Proportional(2), u=u, of_classes=x).select(np.arange(9), np.zeros(9, np.int64)) for x in (True, False)
    ]
    assert np.array_equal(*both)


def test_no_target_at_all_may_be_asked_for() -> None:
    table = table_for(TopK(0), [np.arange(4, dtype=np.float32)] * 2, [])
    assert table.select(np.arange(2), np.zeros(2, np.int64)).shape == (2, 0)
    assert table.scored.all()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: TopK(-2), "num_targets=-2"),
        (lambda: Proportional(-1), "num_targets=-1"),
        (lambda: Proportional(1, temperature=0), "temperature=0"),
        (lambda: Proportional(1, margin=-1), "margin=-1"),
    ],
)
def test_an_impossible_selector_is_refused_with_its_value(make: Any, named: str) -> None:
    with pytest.raises(MemUPError, match=named):
        make()
