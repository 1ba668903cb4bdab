"""Standardisation: the same numbers in any unit give the same input, and no number gives NaN."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.scaling import (
    ImageStandardizer,
    InputStandardizer,
    RunningScale,
    Standardizer,
    center_and_scale,
    compress_tails,
)
from memup_lightning.specs import FieldSpec


def fitted(values: Any, size: int = 1) -> Standardizer:
    standardizer = Standardizer(size)
    standardizer.fit(np.asarray(values))
    return standardizer


def some_numbers(seed: int, rare: bool) -> np.ndarray:
    """Normal numbers, or mostly one number and rarely two others."""
    draw = np.random.default_rng(seed)
    return draw.choice([2.0, 9.0, -4.0], 3000, p=[0.9, 0.06, 0.04]) if rare else draw.normal(size=3000)


@given(
    seed=st.integers(0, 99),
    rare=st.booleans(),
    exponent=st.floats(-6, 9),
    offset=st.floats(-1e3, 1e3),
    sign=st.sampled_from([-1, 1]),
)
@settings(deadline=None, max_examples=40)
def test_numbers_in_another_unit_are_standardised_alike(
    seed: int, rare: bool, exponent: float, offset: float, sign: int
) -> None:
    x = some_numbers(seed, rare)
    scale = sign * 10**exponent
    other = x * scale + offset * scale
    plain = fitted(x)(torch.from_numpy(x)[:, None])
    torch.testing.assert_close(fitted(other)(torch.from_numpy(other)[:, None]) * sign, plain, rtol=1e-3, atol=1e-3)


@given(values=st.lists(st.floats(-999999995904.0, 999999995904.0, width=32), min_size=1, max_size=40))
@settings(deadline=None, max_examples=200)
def test_any_numbers_come_out_finite_and_come_back(values: list[float]) -> None:
    standardizer = fitted(values)
    x = torch.tensor(values, dtype=torch.float64)[:, None]
    z = standardizer(x)
    assert compress_tails(z.float()).isfinite().all()
    spread = float(standardizer.scale) + float(standardizer.center.abs())
    torch.testing.assert_close(standardizer.inverse(z), x, rtol=1e-5, atol=1e-6 * spread)


@pytest.mark.parametrize(
    ("values", "scale"),
    [([0, 0], 1), ([1, 0, 0, 1], 1), ([-1, 1], 1), ([1, 1], 1), ([-255, 0, 255], 255), ([7, 7], 7), ([-3e5], 3e5)],
)
def test_flags_marks_and_constants_keep_their_zero(values: list[float], scale: float) -> None:
    standardizer = fitted(np.array(values, np.float32))
    assert standardizer.is_identity is (scale == 1)
    z = standardizer(torch.tensor(values)[:, None])
    assert torch.equal(z[:, 0], torch.tensor(values) / scale)
    assert standardizer.is_fitted


def test_the_spread_of_rewards_does_not_depend_on_how_rare_they_are() -> None:
    for others in (2, 200):
        x = np.concatenate([np.zeros(1000), [4.0, -3.0] * others])
        assert center_and_scale(x) == (0, pytest.approx((25 / 2) ** 0.5))


@pytest.mark.parametrize("payment", [2600.0, -300.0, 1e7])
def test_the_spread_of_a_rare_payment_among_noisy_step_costs_is_that_of_the_payment(payment: float) -> None:
    draw = np.random.default_rng(0)
    costs = -draw.gamma(3, 4, 20_000)
    x = np.concatenate([costs, payment * draw.uniform(0.5, 1, 60)])
    center, scale = center_and_scale(x, rare_decide=True)
    assert center == pytest.approx(np.median(costs), rel=0.02)
    assert scale == pytest.approx(0.76 * abs(payment), rel=0.1)
    assert center_and_scale(x)[1] < scale / 4  # of inputs: their noise may count


@pytest.mark.parametrize("tail", ["normal", "lognormal", "cauchy", "exponential", "uniform"])
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("size", [10, 3000])
def test_tails_without_a_gap_and_a_few_faulty_readings_decide_no_spread(tail: str, size: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    x = {
        "normal": draw.normal,
        "lognormal": partial(draw.lognormal, 0, 1.5),
        "cauchy": draw.standard_cauchy,
        "exponential": draw.exponential,
        "uniform": draw.uniform,
    }[tail](size=size)
    assert center_and_scale(x, rare_decide=True) == center_and_scale(x)
    if tail != "cauchy":
        faulty = np.append(x, [1e9] * 9)
        assert center_and_scale(faulty, rare_decide=True) == center_and_scale(faulty)


def test_an_outlier_hardly_changes_the_statistics() -> None:
    x = np.random.default_rng(0).normal(5, 2, 10_000)
    center, scale = center_and_scale(np.append(x, [1e12, -1e12, np.nan, np.inf]))
    assert center == pytest.approx(5, abs=0.1)
    assert scale == pytest.approx(2, rel=0.05)


def test_seconds_of_the_clock_are_distinguished() -> None:
    clock = 1_700_000_000 + np.arange(5000)
    z = fitted(clock)(torch.from_numpy(clock)[:, None])[:, 0]
    assert z.diff().min() > 0
    assert z.std().item() == pytest.approx(1, abs=0.01)


def test_tails_are_compressed_beyond_five_deviations_in_order() -> None:
    z = torch.linspace(-40, 40, 8001)
    out = compress_tails(z)
    inside = z.abs() <= 5
    assert torch.equal(out[inside], z[inside])
    assert (out.diff() > 0).all()
    assert out.diff().max() < 0.011  # continuous
    assert compress_tails(torch.tensor([1e12, -1e12])).abs().max() < 32


def log_normal(sigma: float) -> np.ndarray:
    return np.exp(np.random.default_rng(0).normal(7, sigma, (4000, 1)))


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_positive_numbers_of_many_magnitudes_are_read_by_their_logarithm(sigma: float, unit: float) -> None:
    standardizer = InputStandardizer(1)
    values = log_normal(sigma) * unit
    standardizer.fit(values)
    logarithm = torch.from_numpy(np.log(values / unit) - 7) / sigma
    out = standardizer.squash(standardizer(torch.from_numpy(values.astype(np.float32))))
    torch.testing.assert_close(out.double(), logarithm, atol=0.1, rtol=0)
    below = standardizer.squash(standardizer(torch.tensor([[-1.0], [0.0]])))  # no such number was among the data
    torch.testing.assert_close(below, out.min().expand_as(below), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "values",
    [
        log_normal(0.3),
        np.random.default_rng(0).exponential(size=4000),
        log_normal(1) - 100,
        -log_normal(1),
        np.r_[np.ones(4000), np.full(40, 50.0)],
        np.random.default_rng(0).normal(350, 20, 4000),
        np.full(10, 3.0),
    ],
    ids=["hardly skewed", "exponential", "some below 0", "all below 0", "two values", "normal", "constant"],
)
def test_other_numbers_are_read_as_they_are(values: np.ndarray) -> None:
    standardizer, plain = InputStandardizer(1), fitted(values)
    standardizer.fit(values)
    x = torch.from_numpy(values.reshape(-1, 1).astype(np.float32))
    assert torch.equal(standardizer.squash(standardizer(x)), compress_tails(plain(x)))


def test_without_values_nothing_is_known() -> None:
    standardizer = fitted(np.zeros(0))
    assert not standardizer.is_fitted


def test_what_is_left_alone_is_not_computed() -> None:
    x = torch.tensor([[0.0, 1.0]])
    assert fitted([[0, 1], [1, -1]], 2)(x) is x


def test_a_checkpoint_keeps_the_statistics() -> None:
    ours, theirs = fitted([1.0, 2.0, 4.0]), Standardizer(1)
    theirs.load_state_dict(ours.state_dict())
    assert theirs.is_fitted
    assert not theirs.is_identity
    x = torch.tensor([[3.0]])
    assert torch.equal(theirs(x), ours(x))


def test_a_checkpoint_keeps_which_numbers_are_read_by_their_logarithm() -> None:
    ours, theirs = InputStandardizer(1), InputStandardizer(1)
    ours.fit(log_normal(1))
    theirs.load_state_dict(ours.state_dict())
    x = torch.tensor([[300.0]])
    assert torch.equal(theirs.squash(theirs(x)), ours.squash(ours(x)))
    assert ours.squash(ours(x)) == pytest.approx((np.log(300) - 7), abs=0.1)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_vectors_are_encoded_standardised_and_tokens_as_they_are(dtype: str) -> None:
    fields = {
        "x": FieldSpec((2,), dtype),
        "token": FieldSpec((), "int32", "token", 3),
    }
    encoder = StepEncoder(fields)
    assert list(encoder.unfitted()) == ["x"]
    draw = np.random.default_rng(0)
    x = draw.integers(0, 250, (500, 2)).astype(dtype)
    steps = {
        "x": torch.from_numpy(x),
        "token": torch.randint(0, 3, (500,)),
    }
    before = encoder(steps)
    encoder.unfitted()["x"].fit(x)
    after = encoder(steps)
    assert torch.equal(before[:, :2], steps["x"].float())
    torch.testing.assert_close(after[:, :2].mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(after[:, :2].std(0), torch.ones(2), atol=0.01, rtol=0)
    assert torch.equal(before[:, 2:], after[:, 2:])
    assert not encoder.unfitted()


def test_running_statistics_of_a_few_batches_are_those_of_all_rows_that_count() -> None:
    torch.manual_seed(0)
    running, counted = RunningScale(2), []
    for n in range(6):
        batch, counts = torch.randn(8, 3, 2) * (n + 1) + n, torch.rand(8, 3) < (0.7 if n != 3 else 0)
        running.add(batch, counts)
        counted.append(batch[counts])
    rows = torch.cat(counted)
    means = torch.stack([x.mean(0) for x in counted if len(x)])  # every batch weighs the same
    within = torch.stack([x.var(0, correction=0) for x in counted if len(x)])
    torch.testing.assert_close(running.mean, means.mean(0))
    torch.testing.assert_close(running.variance, within.mean(0) + means.var(0, correction=0))
    assert running(rows).std(0).amax() == pytest.approx(1, abs=0.2)


def test_running_statistics_follow_what_changes() -> None:
    torch.manual_seed(0)
    running = RunningScale(1)
    for n in range(2000):
        running.add(torch.randn(64, 1) + 10 * (n >= 1000), torch.ones(64, dtype=torch.bool))
    assert running.mean.item() == pytest.approx(10, abs=0.1)
    assert running.variance.item() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_running_statistics_have_the_precision_of_the_module_and_take_any(dtype: torch.dtype) -> None:
    running = RunningScale(2).to(dtype)
    running.add(torch.randn(5, 2), torch.ones(5, dtype=torch.bool))
    running.add(torch.full((5, 2), math.nan), torch.zeros(5, dtype=torch.bool))
    assert running(torch.ones(2, dtype=dtype)).isfinite().all()
    assert running.mean.any()


@pytest.mark.parametrize(("dtype", "brightness"), [("uint8", 255), ("uint8", 12), ("float32", 1), ("float32", 1e-3)])
def test_images_are_standardised_pixel_by_pixel_with_one_spread(dtype: str, brightness: float) -> None:
    draw = np.random.default_rng(0)
    background = draw.uniform(0, 1, (1, 12, 12, 3))
    shown = np.where(draw.random((600, 1, 1, 1)) < 0.3, 1.0, background)
    images = (brightness * shown).astype(dtype)
    encoder = StepEncoder({"image": FieldSpec((12, 12, 3), dtype, "image")})
    assert list(encoder.unfitted()) == ["image"]
    standardizer = encoder.unfitted()["image"]
    standardizer.fit(images)
    assert not encoder.unfitted()
    assert not encoder.standardizers, "those of numbers"
    z = standardizer(torch.from_numpy(images).float().flatten(1))
    torch.testing.assert_close(z.mean(0), torch.zeros(432), atol=1e-3, rtol=0)
    assert z.square().mean().sqrt().item() == pytest.approx(1, rel=1e-3)
    torch.testing.assert_close(standardizer.scale, standardizer.scale[:1].expand(432))
    other = ImageStandardizer(432)
    other.load_state_dict(standardizer.state_dict())
    assert torch.equal(other(torch.ones(2, 432)), standardizer(torch.ones(2, 432)))


def test_images_that_are_all_alike_are_0() -> None:
    standardizer = ImageStandardizer(12)
    images = np.full((5, 2, 2, 3), 200, np.uint8)
    standardizer.fit(images)
    assert torch.equal(standardizer(torch.from_numpy(images).float().flatten(1)), torch.zeros(5, 12))
