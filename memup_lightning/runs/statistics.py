"""Confidence intervals over episodes, at 95%."""

from __future__ import annotations

import math

from torch import Tensor

Z = 1.959964  # of the normal distribution, two sides of 2.5%


def mean_interval(values: Tensor) -> tuple[float, float]:
    """Compute the interval of a mean by the central limit theorem; for a single value, that value."""
    mean = float(values.cpu().double().mean())
    spread = float(values.cpu().double().std()) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean - Z * spread, mean + Z * spread


def share_interval(hits: Tensor) -> tuple[float, float]:
    """Compute the interval of a share by Wilson's score (Wilson, 1927), which is right for shares of 0 and 1 too.

    Args:
        hits: 1 or True where it happened, ``[n]``.
    """
    n = len(hits)
    share = float(hits.cpu().double().mean())
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)
