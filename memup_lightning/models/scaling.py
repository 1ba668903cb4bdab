"""Standardisation of numbers: by center and scale estimated once from data, or by a running scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from memup_lightning.distributed import all_reduce_sum
from memup_lightning.models.wide_float import wide_float

_WINSORIZED_SHARE = 0.001  # of the values at either end: an outlier counts like the next value inside
_BULK = 10  # median absolute deviations from the median up to which outcomes belong to the bulk
_RARE, _FAR, _GREAT = 20, 0.75, 0.5  # rare outcomes: the least number, share beyond twice the bulk, and of the variance
_SKEWED = 2.0  # third standardised moment, from which on positive numbers may be read by their logarithm
_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # relative difference up to which values are the same
_MIN_SCALE = 1e-20  # the largest number of a field divided by it is finite in float32
_MIN_VARIANCE = 1e-6  # of running statistics: numbers that never change stay finite
_NUM_AVERAGED = 100  # batches over which running statistics go
_LINEAR_UP_TO = 5.0  # standard deviations; beyond, encoded inputs grow with the logarithm
_WIDE_INTEGERS = (torch.int32, torch.int64)


class Standardizer(nn.Module):
    """Affine map that gives each component of numbers center 0 and spread 1; the identity until it is fitted.

    Args:
        size: components.
        rare_decide: whether few numbers that are far larger than all others decide the spread: of outcomes.

    Attributes:
        center, scale: of each component, in the data's unit, ``[size]``; part of the checkpoint.
        is_fitted: whether :meth:`fit` was called, or a checkpoint loaded in which it was.
        is_identity: whether all components stay as they are, so that nothing is computed.
    """

    center: Tensor
    scale: Tensor
    fitted: Tensor

    def __init__(self, size: int, rare_decide: bool = False) -> None:
        super().__init__()
        self.rare_decide = rare_decide
        self.register_buffer("center", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("fitted", torch.tensor(False))
        self.is_fitted, self.is_identity = False, True

    def fit(self, values: npt.NDArray[Any]) -> None:
        """Estimate center and scale of each component by :func:`center_and_scale`; without values they stay.

        Args:
            values: ``[N, size]`` or ``[N, *shape]`` of as many components, in the data's unit.
        """
        if not len(values):
            return
        pairs = [center_and_scale(x, self.rare_decide) for x in _columns(values)]
        statistics = torch.tensor(pairs, dtype=torch.float64).view(-1, 2)
        self.center.copy_(statistics[:, 0])
        self.scale.copy_(statistics[:, 1])
        self.fitted.fill_(True)
        self._follow_buffers()

    def forward(self, x: Tensor) -> Tensor:
        """Standardise, ``[..., size]``."""
        if self.is_identity:
            return x
        if x.dtype in _WIDE_INTEGERS:  # float32 cannot distinguish seconds of 1.7e9
            x = x.to(wide_float(x.device))
        return (x - self.center) / self.scale

    def inverse(self, z: Tensor) -> Tensor:
        """Return to the data's unit, ``[..., size]``."""
        return z if self.is_identity else torch.addcmul(self.center, z, self.scale)

    def log_scale(self) -> Tensor:
        """Sum of the logarithms of the scales: a density in the data's unit is lower by it, in nats."""
        return self.scale.log().sum()

    def _follow_buffers(self) -> None:
        self.is_fitted = bool(self.fitted)
        self.is_identity = bool((self.center == 0).all() and (self.scale == 1).all())

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._follow_buffers()


class InputStandardizer(Standardizer):
    """Standardisation of what networks read, of which long tails are drawn in by :meth:`squash`.

    Prices, durations and other positive numbers that go over orders of magnitude are read by their logarithm: divided by
    their spread, 100 and 150 would be the same where some are 10,000.

    Args:
        size: components.

    Attributes:
        lowest: of components that are read by their logarithm the smallest number of the data, of all others 0, in spreads.
        log_center, log_spread: mean and spread of the logarithm of the number in spreads.
    """

    lowest: Tensor
    log_center: Tensor
    log_spread: Tensor

    def __init__(self, size: int) -> None:
        self.reads_logarithms = False
        super().__init__(size)
        self.register_buffer("lowest", torch.zeros(size))
        self.register_buffer("log_center", torch.zeros(size))
        self.register_buffer("log_spread", torch.ones(size))

    def fit(self, values: npt.NDArray[Any]) -> None:
        super().fit(values)
        if not len(values):
            return
        columns = _columns(values) / self.scale.float().cpu().numpy()[:, None]
        for number, x in enumerate(columns):
            x = x[np.isfinite(x)]
            if not spans_magnitudes(x):
                continue
            self.lowest[number] = float(x.min())
            self.log_center[number], self.log_spread[number] = center_and_scale(np.log(x))
        self._follow_buffers()

    def squash(self, z: Tensor) -> Tensor:
        """Draw in the tails of standardised numbers, ``[..., size]``, in their order: see :func:`compress_tails`. Those of
        positive numbers that span orders of magnitude become standardised logarithms."""
        if not self.reads_logarithms:
            return compress_tails(z)
        above_zero = torch.maximum(z + self.center / self.scale, self.lowest)
        logarithm = (above_zero.where(self.lowest > 0, 1).log() - self.log_center) / self.log_spread
        return compress_tails(logarithm.where(self.lowest > 0, z))

    def _follow_buffers(self) -> None:
        super()._follow_buffers()
        self.reads_logarithms = bool((self.lowest > 0).any())


class ImageStandardizer(Standardizer):
    """Standardisation of images: each pixel minus its mean over the data, and all divided by one spread.

    So what all images show is 0, and a small object before it is not. One spread, since that of each pixel alone would make
    the noise of the plain ones as large as the objects of the others.
    """

    def fit(self, values: npt.NDArray[Any]) -> None:
        """Estimate them; without values the identity stays. Where all images are equal the spread is 1.

        Args:
            values: images ``[N, height, width, channels]``.
        """
        if not len(values):
            return
        images = values.reshape(len(values), -1)
        center = images.mean(0, dtype=np.float64)
        variance = np.mean([np.square(part - center).mean() for part in np.array_split(images, -(-len(images) // 256))])
        self.center.copy_(torch.from_numpy(center))
        self.scale.fill_(float(np.sqrt(variance)) or 1.0)
        self.fitted.fill_(True)
        self._follow_buffers()


class RunningScale(nn.Module):
    """Division by the standard deviation of the component that varies most, by running statistics.

    For numbers that change while a network learns. One scale for all components: where each had its own, a component that
    hardly varies would be all noise, and the network that reads it would have to follow each change of its mean. What is
    added counts from the next call on, so no row depends on the others of its batch. All ranks have the same statistics.

    Args:
        size: components.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Scale, ``[..., size]``."""
        return x * torch.rsqrt(self.variance.amax(0) + _MIN_VARIANCE)

    @torch.no_grad()
    def add(self, x: Tensor, counts: Tensor) -> None:
        """Add a batch to the statistics, which go over the last hundred of them.

        Args:
            x: ``[..., size]``.
            counts: which rows count, ``[...]``; without one, nothing changes.
        """
        rows = x.to(self.mean.dtype)
        number = all_reduce_sum(counts.sum(dtype=rows.dtype))
        some = (number > 0).to(rows.dtype)
        mean = all_reduce_sum(_masked_sum(rows, counts)) / number.clamp(min=1)
        variance = all_reduce_sum(_masked_sum((rows - mean).square(), counts)) / number.clamp(min=1)
        self.batches += some
        weight = some / self.batches.clamp(min=1, max=_NUM_AVERAGED)
        moved = weight * (mean - self.mean)
        # Of the mixture of what was before, which the first batch replaces, and of this batch.
        self.variance.lerp_(variance, weight).add_(moved * (mean - self.mean) * (1 - weight))
        self.mean += moved


def _columns(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return values ``[N, *shape]`` by component, ``[size, N]``."""
    return np.ascontiguousarray(values.reshape(len(values), -1).T, np.float64)


def _masked_sum(rows: Tensor, counts: Tensor) -> Tensor:
    return rows.where(counts[..., None], 0).flatten(0, -2).sum(0)


def center_and_scale(x: npt.NDArray[np.float64], rare_decide: bool = False) -> tuple[float, float]:
    """Estimate center and scale of numbers.

    - Numbers of one size, of either sign, and zeros keep their zero: the scale is that size. So flags and marks of -1, 0
      and 1 stay as they are, and those of any other size become such; a constant becomes 1, 0 or -1.
    - Where more than half of the numbers are equal, that number is the center, and the scale is the root mean square of
      the distance of all others from it: that of rewards does not depend on how rare they are.
    - Of outcomes, the same where more than half of them, without being equal, lie close together, and a few far away (step
      costs with noise, and one large payment): the median is the center, and the distance of the few the scale. They need
      to be 20 numbers that lie beyond ten median absolute deviations, three quarters of them beyond twenty, and make half
      of the variance. Tails without a gap, as those of a log-normal or a Cauchy distribution, do not.
    - Else mean and standard deviation.

    A thousandth of the numbers at either end counts like the next number inside (winsorised mean and variance).

    Args:
        x: ``[N]``, N > 0; numbers that are not finite are ignored.
        rare_decide: whether few numbers far away decide the scale.

    Returns:
        Center and scale; the scale is above 0.
    """
    x = x[np.isfinite(x)]
    size = np.abs(x)
    largest = float(size.max(initial=0))
    if ((size == 0) | (size >= largest * (1 - _ROUNDING))).all():
        return 0.0, max(largest, _MIN_SCALE) if largest else 1.0
    median = float(np.partition(x, len(x) // 2)[len(x) // 2])
    distance = np.abs(x - median)
    usual = distance <= _ROUNDING * abs(median)
    has_center = 2 * usual.sum() > len(x)
    if rare_decide and not has_center:
        bulk = _BULK * float(np.partition(distance, len(x) // 2)[len(x) // 2])
        usual = distance <= bulk
        far = distance[~usual]
        has_center = len(far) >= _RARE and bool(
            (far > 2 * bulk).mean() >= _FAR and np.square(far).sum() >= _GREAT * np.square(distance).sum()
        )
    others = _winsorized(x[~usual] if has_center else x)
    center = float(np.float32(median if has_center else others.mean()))
    return center, max(float(np.sqrt(np.square(others - center).mean())), _MIN_SCALE)


def spans_magnitudes(x: npt.NDArray[np.float64]) -> bool:
    """Whether numbers are positive and so skewed that their logarithms are much less so: log-normal ones from a deviation
    of 0.7 on. Exponential ones are not.

    Args:
        x: ``[N]``, finite.
    """
    if not len(x) or x.min() <= 0:
        return False
    skewness = _skewness(x)
    return skewness > _SKEWED and abs(_skewness(np.log(x))) < skewness / 2


def _skewness(x: npt.NDArray[np.float64]) -> float:
    away = _winsorized(x)
    away = away - away.mean()
    spread = float(np.sqrt(np.square(away).mean()))
    return float(np.power(away / spread, 3).mean()) if spread > 0 else 0.0


def _winsorized(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    last = len(x) - 1
    outside = int(_WINSORIZED_SHARE * len(x))
    ordered = np.partition(x, (outside, last - outside))
    return x.clip(ordered[outside], ordered[last - outside])


def compress_tails(z: Tensor) -> Tensor:
    """Return standardised numbers up to 5 as they are, beyond as 5 + log(|z| / 5), with their sign."""
    beyond = (z.abs() / _LINEAR_UP_TO).clamp(min=1).log()
    return z.clamp(-_LINEAR_UP_TO, _LINEAR_UP_TO) + beyond * z.sign()  # ONNX has no copysign
