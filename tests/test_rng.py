"""Counter-based random numbers: a pure, well-mixed function of a key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.rng import gumbel, hash64, integers, uniform

N = 40_000
keys = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=50)
@given(keys, keys)
def test_a_draw_is_the_same_alone_and_in_an_array(a: int, b: int) -> None:
    array = hash64(np.array([b, a, b]), np.array([a, b, a]))
    assert int(hash64(a, b)) == int(hash64(np.int64(a), np.int64(b))) == int(array[1])
    assert array[0] == array[2] == hash64(b, a)


@settings(max_examples=50)
@given(keys, keys)
def test_the_order_of_the_keys_matters(a: int, b: int) -> None:
    if a != b:
        assert hash64(a, b) != hash64(b, a)
        assert hash64(a) != hash64(b)
    assert hash64(a) != hash64(a, 0)
    assert hash64(a) != hash64(0, a)


def test_keys_broadcast_like_arrays() -> None:
    rows, columns = np.arange(3)[:, None], np.arange(5)
    table = hash64(7, rows, columns)
    assert table.shape == (3, 5)
    for i in range(3):
        for j in range(5):
            assert table[i, j] == hash64(7, i, j)


DRAWS: dict[str, Any] = {
    "last key": lambda: uniform(3, np.arange(N)),
    "first key": lambda: uniform(np.arange(N), 3),
    "both keys": lambda: uniform(np.arange(N // 200)[:, None], np.arange(200)).ravel(),
    "far apart": lambda: uniform(np.arange(N) * 2**40),
    "negative": lambda: uniform(-np.arange(N)),
}


@pytest.mark.parametrize("which", DRAWS)
def test_draws_are_uniform_whichever_key_counts(which: str) -> None:
    u = DRAWS[which]()
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.histogram(u, 50, (0, 1))[0]
    chi2 = ((counts - N / 50) ** 2 / (N / 50)).sum()
    assert chi2 < 49 + 5 * np.sqrt(2 * 49)


@pytest.mark.parametrize("which", DRAWS)
def test_neighbouring_draws_are_independent(which: str) -> None:
    u = DRAWS[which]() - 0.5
    for lag in (1, 2, 200):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 5 / np.sqrt(N)


def test_streams_of_different_seeds_are_independent() -> None:
    one, other = uniform(1, np.arange(N)), uniform(2, np.arange(N))
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(N)


@pytest.mark.parametrize("bit", [0, 1, 31, 62, 63])
def test_every_bit_is_a_fair_coin(bit: int) -> None:
    bits = (hash64(5, np.arange(N)) >> np.uint64(bit)) & np.uint64(1)
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / np.sqrt(N)


def test_no_two_of_many_keys_collide() -> None:
    assert len(np.unique(hash64(np.arange(300)[:, None], np.arange(300)))) == 300 * 300


@pytest.mark.parametrize("high", [1, 2, 3, 10, 1000])
def test_integers_cover_their_range_evenly(high: int) -> None:
    drawn = integers(high, 3, np.arange(N))
    assert drawn.dtype == np.int64
    counts = np.bincount(drawn, minlength=high)
    assert len(counts) == high
    assert np.abs(counts - N / high).max() < 5 * np.sqrt(N / high)


def test_integers_take_a_limit_for_each_draw() -> None:
    high = np.arange(1, N + 1)
    drawn = integers(high, 3, np.arange(N))
    assert (drawn < high).all()
    assert abs((drawn / high).mean() - 0.5) < 0.01


def test_draws_are_the_same_in_every_release() -> None:
    """Data sets, schedules and targets of old checkpoints follow from these numbers."""
    assert [hex(int(x)) for x in hash64(1, np.arange(2))] == ["0xf0954079b53bd679", "0x2c642ecee5e5e085"]


def test_the_largest_of_log_weight_plus_gumbel_is_a_draw_in_proportion_to_the_weights() -> None:
    weights = np.array([0.1, 0.2, 0.7])
    drawn = (np.log(weights) + gumbel(3, np.arange(N)[:, None], np.arange(3))).argmax(1)
    np.testing.assert_allclose(np.bincount(drawn) / N, weights, atol=0.01)
