"""The losses of outcome distributions find the truth, also with far outcomes and in any unit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from memup_lightning.models.outcomes import (
    CategoricalOutcome,
    GaussianOutcome,
    Outcome,
    QuantileOutcome,
)
from tests.models.outcome_families import CLASSES, FAMILIES, NUMBER, some_outcomes, some_params


def fitted(outcome: Outcome, y: Tensor, updates: int = 600, lr: float = 0.05) -> Tensor:
    """Parameters that minimise the loss over a sample."""
    params = torch.zeros(outcome.num_parameters, requires_grad=True)
    optimizer = torch.optim.Adam([params], lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, updates)
    for _ in range(updates):
        optimizer.zero_grad()
        outcome.loss(params.expand(len(y), -1), y).mean().backward()
        optimizer.step()
        schedule.step()
    return params.detach()


def test_classes_are_fitted_to_their_frequencies() -> None:
    y = torch.tensor([0] * 10 + [1] * 40 + [2] * 20 + [3] * 30)
    p = fitted(CategoricalOutcome(CLASSES), y).softmax(-1)
    assert torch.allclose(p, torch.tensor([0.1, 0.4, 0.2, 0.3]), atol=0.01)


def test_a_gaussian_is_fitted_to_mean_and_deviation() -> None:
    y = 1.5 + 0.8 * torch.randn(4000, generator=torch.Generator().manual_seed(0))
    outcome = GaussianOutcome(NUMBER)
    params = fitted(outcome, y)
    std = torch.nn.functional.softplus(params[1]) + outcome.min_std
    assert params[0].item() == pytest.approx(y.mean().item(), abs=0.02)
    assert std.item() == pytest.approx(y.std().item(), abs=0.02)


def test_quantiles_are_fitted_to_those_of_the_sample() -> None:
    outcome = QuantileOutcome(NUMBER, num_quantiles=8, kappa=0.01)
    y = torch.randn(4000, generator=torch.Generator().manual_seed(0)).exp()
    wanted = torch.quantile(y, outcome.taus)
    assert torch.allclose(fitted(outcome, y, 1500), wanted, atol=0.08, rtol=0.05)


def test_quantiles_keep_two_modes_apart_where_a_gaussian_takes_the_middle() -> None:
    y = torch.tensor([4.0] * 50 + [-3.0] * 50)
    q = fitted(QuantileOutcome(NUMBER, num_quantiles=8), y, 1500).sort().values
    assert torch.allclose(q, torch.tensor([-3.0] * 4 + [4.0] * 4), atol=0.2)
    assert fitted(GaussianOutcome(NUMBER), y, 1500)[0].item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", ["gaussian", "quantile"])
def test_far_outcomes_give_finite_losses_and_gradients(name: str) -> None:
    outcome = FAMILIES[name][1]()
    params = some_params(outcome, 2, scale=0.1).requires_grad_()
    y = torch.tensor([1e4, -1e4])
    (outcome.loss(params, y).sum() + outcome.nll(params, y).sum()).backward()
    assert params.grad is not None
    assert params.grad.isfinite().all()


STANDARDIZED = {name: FAMILIES[name] for name in ("gaussian", "gaussian-fixed", "gaussian-vector", "quantile")}


def in_unit(name: str, scale: float, center: float) -> tuple[Outcome, Tensor]:
    """A distribution fitted to outcomes in another unit, and some of them."""
    field, make = STANDARDIZED[name]
    y = some_outcomes(field, 2000).double() * scale + center
    outcome: Any = make()
    outcome.standardizer.fit(y.numpy())
    return outcome, y[:50]


@pytest.mark.parametrize("name", STANDARDIZED)
@pytest.mark.parametrize(("scale", "center"), [(1e-3, 0.0), (1e-3, 5e-3), (1e4, -3e4), (1e9, 1e9)])
def test_the_unit_of_an_outcome_changes_reports_and_nothing_that_is_learned(
    name: str, scale: float, center: float
) -> None:
    (plain, y), (other, scaled) = in_unit(name, 1.0, 0.0), in_unit(name, scale, center)
    params = some_params(plain, 50)
    size = math.prod(STANDARDIZED[name][0].shape)
    torch.testing.assert_close(other.loss(params, scaled), plain.loss(params, y), rtol=1e-3, atol=1e-3)
    assert torch.equal(other.uncertainty(params), plain.uncertainty(params))
    assert torch.equal(other.correct(params, scaled), plain.correct(params, y))
    ours, theirs = other.scores(params, scaled), plain.scores(params, y)
    torch.testing.assert_close(ours["mse"] / scale**2, theirs["mse"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours["nll"] - size * math.log(scale), theirs["nll"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        other.predict(params).double(), plain.predict(params).double() * scale + center, rtol=1e-3, atol=1e-3 * scale
    )


@pytest.mark.parametrize("name", ["gaussian", "quantile"])
def test_the_reported_deviation_is_in_the_outcome_s_unit(name: str) -> None:
    (plain, _), (other, _) = in_unit(name, 1.0, 0.0), in_unit(name, 1e4, 0.0)
    params = some_params(plain, 5)
    ours, theirs = other.std(params), plain.std(params)
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(ours, 1e4 * theirs)
    grown = other.reported_uncertainty(params) - plain.reported_uncertainty(params)
    wanted = torch.full((5,), math.log(1e4)) if name == "gaussian" else ours - theirs
    torch.testing.assert_close(grown, wanted)


def test_a_density_in_the_outcome_s_unit_integrates_to_one() -> None:
    for name in ("gaussian", "quantile"):
        outcome, _ = in_unit(name, 0.01, 0.3)
        y = torch.linspace(-0.1, 0.7, 1_000_001)
        density = (-outcome.nll(some_params(outcome, 1).expand(len(y), -1), y)).double().exp()
        assert torch.trapezoid(density, y.double()).item() == pytest.approx(1, abs=5e-3)
