"""Intervals of means and shares."""

from __future__ import annotations

import pytest
import torch

from memup_lightning.runs.statistics import mean_interval, share_interval


def test_intervals() -> None:
    low, high = share_interval(torch.ones(200))
    assert high == pytest.approx(1.0)
    assert low == pytest.approx(1 / (1 + 1.959964**2 / 200))  # Wilson, all hits
    values = torch.arange(100.0)
    low, high = mean_interval(values)
    assert (low + high) / 2 == pytest.approx(49.5)
    assert high - low == pytest.approx(2 * 1.959964 * float(values.std()) / 10)
