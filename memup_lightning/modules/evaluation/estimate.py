"""Estimates of means over episodes, with their intervals."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_RESAMPLES = 1000
_ERRORS = 1.96  # standard errors to either side of a mean, in an interval of 95%
FloatArray = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """Mean with its interval of 95%, by the bootstrap over episodes (Efron, 1979)."""

    mean: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Standard error."""
        return (self.high - self.low) / (2 * _ERRORS)


def bootstrap(values: FloatArray, counts: npt.NDArray[np.bool_]) -> Estimate:
    """Estimate the mean of some values of several episodes.

    Args:
        values: ``[episodes, n]``.
        counts: which of them count, ``[episodes, n]``; at least one does.
    """
    sums, numbers = np.where(counts, values, 0).sum(1), counts.sum(1).astype(float)
    there = numbers > 0
    sums, numbers = sums[there], numbers[there]
    mean = float(sums.sum() / numbers.sum())
    if len(sums) < 2:
        return Estimate(mean, mean, mean)
    draws = _resamples(len(sums))
    means = (draws @ sums) / (draws @ numbers)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(mean, float(low), float(high))


@lru_cache(maxsize=8)
def _resamples(episodes: int) -> FloatArray:
    """Return how often each episode is in each resample, ``[resamples, episodes]``."""
    draws = np.random.default_rng(0).multinomial(episodes, np.full(episodes, 1 / episodes), _RESAMPLES)
    return draws.astype(float)
