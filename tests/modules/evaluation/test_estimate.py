"""The mean of episodes' values, and the interval in which it lies."""

from __future__ import annotations

import numpy as np
import pytest

from memup_lightning.modules.evaluation.estimate import bootstrap


def test_the_interval_of_a_mean_covers_it_and_narrows_with_more_episodes() -> None:
    draw = np.random.default_rng(1)
    covered, widths = 0, {}
    for episodes in (20, 200):
        for _ in range(50):
            values = draw.normal(1.0, 1.0, (episodes, 3))
            found = bootstrap(values, np.ones_like(values, bool))
            covered += found.low <= 1.0 <= found.high
            widths[episodes] = found.high - found.low
    assert covered >= 85
    assert widths[200] < widths[20] / 2


def test_episodes_weigh_as_much_as_they_have_steps() -> None:
    values = np.array([[1.0, 1.0, 1.0], [0.0, 9.0, 9.0]])
    counts = np.array([[True, True, True], [True, False, False]])
    assert bootstrap(values, counts).mean == pytest.approx(0.75)
