"""The outcome distributions: densities integrate to one, uncertainty means spread."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.outcomes import (
    AdaptiveCategoricalOutcome,
    CategoricalOutcome,
    GaussianOutcome,
    Outcome,
    QuantileOutcome,
)
from memup_lightning.specs import FieldSpec
from tests.models.outcome_families import (
    CLASSES,
    FAMILIES,
    MANY,
    NUMBER,
    VECTOR,
    each_family,
    some_outcomes,
    some_params,
)


@each_family
@pytest.mark.parametrize("lead", [(5,), (2, 3), (2, 1, 3, 4)])
def test_every_score_has_one_number_an_outcome(name: str, lead: tuple[int, ...]) -> None:
    field, make = FAMILIES[name]
    outcome = make()
    params, y = some_params(outcome, *lead), some_outcomes(field, *lead)
    assert outcome.nll(params, y).shape == lead
    assert outcome.loss(params, y).shape == lead
    assert outcome.uncertainty(params).shape == lead
    assert outcome.correct(params, y).shape == lead
    assert outcome.predict(params).shape == (*lead, *field.shape)
    scores = outcome.scores(params, y)
    assert tuple(scores) == outcome.score_names
    assert all(score.shape == lead for score in scores.values())
    assert outcome.residual(params, y).shape == lead


@pytest.mark.parametrize("name", ["categorical", "gaussian", "gaussian-vector", "quantile"])
def test_outcomes_by_themselves_are_as_uncertain_as_the_best_constant_leaves_them(name: str) -> None:
    field, make = FAMILIES[name]
    outcome, y = make(), some_outcomes(field, 500)
    if field.type == "token":
        best = torch.bincount(y, minlength=field.classes).div(500).log()
    else:
        best = y.mean(0).reshape(-1).repeat(outcome.num_parameters // math.prod(field.shape))
    left = outcome.residual(best.expand(500, -1), y)
    assert outcome.own_uncertainty(y) == pytest.approx(float(left.mean()), rel=1e-4)
    assert float(outcome.residual((best + torch.linspace(0.5, 0, len(best))).expand(500, -1), y).mean()) > left.mean()


@each_family
def test_outcomes_are_scored_one_by_one(name: str) -> None:
    field, make = FAMILIES[name]
    outcome = make()
    params, y = some_params(outcome, 4, 3), some_outcomes(field, 4, 3)
    for score in (outcome.nll, outcome.loss):
        whole = score(params, y)
        for i in range(4):
            for j in range(3):
                alone = score(params[i, j][None], y[i, j][None])
                assert torch.allclose(whole[i, j], alone[0], atol=1e-6)


def test_a_vector_is_as_likely_as_its_components_together() -> None:
    whole, part = GaussianOutcome(VECTOR), GaussianOutcome(NUMBER)
    params, y = some_params(whole, 5), some_outcomes(VECTOR, 5)
    parts = [part.nll(params[:, [i, i + 3]], y[:, i]) for i in range(3)]
    assert torch.allclose(whole.nll(params, y), torch.stack(parts).sum(0), atol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "gaussian-fixed", "quantile", "quantile-1"])
@pytest.mark.parametrize("scale", [0.0, 0.05, 1.0, 3.0])
def test_a_density_integrates_to_one(name: str, scale: float) -> None:
    field, make = FAMILIES[name]
    outcome = make()
    y = torch.linspace(-60, 60, 1_200_001, dtype=torch.float64).float()
    params = some_params(outcome, 1, scale=scale).expand(len(y), -1)
    density = (-outcome.nll(params, y.view(-1, *field.shape))).double().exp()
    assert torch.trapezoid(density, dx=1e-4).item() == pytest.approx(1, abs=2e-3)


def test_the_probabilities_of_all_classes_sum_to_one() -> None:
    outcome = CategoricalOutcome(CLASSES)
    params = some_params(outcome, 6)
    p = torch.stack([(-outcome.nll(params, torch.full((6,), c))).exp() for c in range(4)])
    assert torch.allclose(p.sum(0), torch.ones(6))


def test_the_quantile_likelihood_puts_equal_mass_between_neighbouring_quantiles() -> None:
    outcome = QuantileOutcome(NUMBER, num_quantiles=4)
    params = torch.tensor([[-2.0, 0.0, 0.5, 3.0]])
    for low, high in ((-2.0, 0.0), (0.0, 0.5), (0.5, 3.0)):
        y = torch.linspace(low + 1e-4, high - 1e-4, 2001)
        density = (-outcome.nll(params.expand(len(y), -1), y)).exp()
        assert torch.trapezoid(density, y).item() == pytest.approx(1 / 4, abs=1e-3)


def test_quantiles_in_any_order_are_the_same_distribution() -> None:
    outcome = QuantileOutcome(NUMBER, num_quantiles=4)
    y = torch.linspace(-4, 4, 100)
    rising, mixed = torch.tensor([-2.0, 0.0, 0.5, 3.0]), torch.tensor([0.5, -2.0, 3.0, 0.0])
    assert torch.equal(outcome.nll(rising.expand(100, -1), y), outcome.nll(mixed.expand(100, -1), y))


def test_entropy_of_classes_is_that_of_the_definition() -> None:
    outcome = CategoricalOutcome(CLASSES)
    p = torch.tensor([[0.25] * 4, [0.7, 0.1, 0.1, 0.1], [0.97, 0.01, 0.01, 0.01]])
    assert torch.allclose(outcome.uncertainty(p.log()), -(p * p.log()).sum(-1), atol=1e-6)
    assert outcome.uncertainty(p.log()).diff().max() < 0


def test_entropy_of_a_gaussian_is_its_mean_nll() -> None:
    outcome = GaussianOutcome(NUMBER)
    params = torch.tensor([[0.7, 1.3]])
    std = torch.nn.functional.softplus(params[0, 1]) + outcome.min_std
    y = 0.7 + std * torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    mean, reported = (score(params.expand(len(y), -1), y).mean().item() for score in (outcome.loss, outcome.nll))
    assert outcome.uncertainty(params).item() == pytest.approx(mean, abs=0.01)
    assert reported == pytest.approx(mean, abs=0.01)  # the same but for outliers


@pytest.mark.parametrize("name", ["gaussian", "quantile"])
def test_uncertainty_rises_with_the_spread_and_not_with_the_mean(name: str) -> None:
    outcome = FAMILIES[name][1]()
    if name == "gaussian":
        narrow, wide, far = torch.tensor([0.0, -1.0]), torch.tensor([0.0, 1.0]), torch.tensor([9.0, -1.0])
    else:
        narrow, wide = torch.linspace(-1, 1, 16), torch.linspace(-3, 3, 16)
        far = narrow + 9
    u = outcome.uncertainty(torch.stack([narrow, wide, far]))
    assert u[1] > u[0]
    assert u[2].item() == pytest.approx(u[0].item(), abs=1e-5)


def test_a_fixed_variance_is_as_uncertain_everywhere() -> None:
    outcome = GaussianOutcome(NUMBER, learned_variance=False)
    assert outcome.uncertainty(some_params(outcome, 9)).unique().numel() == 1


def test_of_many_classes_every_score_is_that_of_their_probabilities() -> None:
    outcome = AdaptiveCategoricalOutcome(MANY, features=8)
    params, y = some_params(outcome, 4, 50, scale=3.0), some_outcomes(MANY, 4, 50)
    p = outcome.probabilities(params)
    assert torch.allclose(p.sum(-1), torch.ones(4, 50))
    assert torch.allclose(outcome.nll(params, y), -p.gather(-1, y.long()[..., None])[..., 0].log(), atol=1e-5)
    assert torch.allclose(outcome.uncertainty(params), torch.special.entr(p).sum(-1), atol=1e-5)
    assert torch.equal(outcome.predict(params), p.argmax(-1))


def test_the_most_probable_class_is_predicted() -> None:
    outcome = CategoricalOutcome(CLASSES)
    params = torch.tensor([[0.0, 3, 1, 2], [9, 0, 0, 0]])
    assert outcome.predict(params).tolist() == [1, 0]
    assert outcome.correct(params, torch.tensor([1, 3])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", ["gaussian", "gaussian-fixed", "quantile"])
def test_a_number_is_right_within_the_tolerance(name: str) -> None:
    field, _ = FAMILIES[name]
    make: Any = {"gaussian": GaussianOutcome, "quantile": QuantileOutcome}.get(
        name, partial(GaussianOutcome, learned_variance=False)
    )
    outcome = make(field, tolerance=0.5)
    params = torch.full((4, outcome.num_parameters), 2.0)
    assert outcome.predict(params).tolist() == [2.0] * 4
    y = torch.tensor([2.0, 2.49, 1.4, 2.6])
    assert outcome.correct(params, y).tolist() == [1.0, 1.0, 0.0, 0.0]


def test_a_vector_is_right_where_every_component_is() -> None:
    outcome = GaussianOutcome(VECTOR, tolerance=0.5)
    params = torch.zeros(2, 6)
    y = torch.tensor([[0.4, -0.4, 0.0], [0.4, 0.6, 0.0]])
    assert outcome.correct(params, y).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", ["gaussian", "gaussian-vector", "quantile", "quantile-1"])
def test_numbers_are_scored_by_their_squared_error_too(name: str) -> None:
    field, make = FAMILIES[name]
    outcome = make()
    params, y = some_params(outcome, 5), some_outcomes(field, 5)
    wanted = (outcome.predict(params) - y).square().reshape(5, -1).mean(1)
    assert torch.allclose(outcome.scores(params, y)["mse"], wanted)


def test_the_smallest_deviation_is_kept() -> None:
    outcome = GaussianOutcome(NUMBER, min_std=0.25)
    params, y = torch.tensor([[0.0, -100.0]]), torch.zeros(1)
    wanted = math.log(0.25) + 0.5 * math.log(2 * math.pi)
    assert outcome.loss(params, y).item() == pytest.approx(wanted, abs=1e-5)
    with_outliers = -math.log(0.99 * math.exp(-wanted) + 0.01 / math.pi)  # at the mean of a Cauchy distribution
    assert outcome.nll(params, y).item() == pytest.approx(with_outliers, abs=1e-5)


def test_one_outcome_far_from_a_sure_prediction_does_not_outweigh_a_hundred_right_ones() -> None:
    outcome = GaussianOutcome(NUMBER)
    sure, unsure = torch.tensor([[1.0, -100.0]]), torch.tensor([[0.0, 0.6]])
    for wrong in (-1.0, -30.0):
        y = torch.tensor([1.0] * 99 + [wrong])
        gain = outcome.nll(unsure.expand(100, -1), y) - outcome.nll(sure.expand(100, -1), y)
        assert -12 < gain[-1] < 0
        assert gain.mean() > 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: CategoricalOutcome(NUMBER),
            "CategoricalOutcome needs class numbers.*a number; use GaussianOutcome or QuantileOutcome",
        ),
        (lambda: CategoricalOutcome(FieldSpec((2,), "int32", "token", 4)), r"one class a step.*\[2\]"),
        (lambda: GaussianOutcome(CLASSES), "GaussianOutcome needs a number.*one of 4 classes; use CategoricalOutcome"),
        (lambda: GaussianOutcome(NUMBER, min_std=0), "min_std=0"),
        (lambda: QuantileOutcome(CLASSES), "QuantileOutcome needs one number.*one of 4 classes"),
        (lambda: QuantileOutcome(VECTOR), r"QuantileOutcome needs one number.*vector of shape \[3\]"),
        (lambda: QuantileOutcome(NUMBER, num_quantiles=1), "num_quantiles=1"),
        (lambda: QuantileOutcome(NUMBER, kappa=0), "kappa=0"),
    ],
)
def test_a_wrong_type_or_value_is_refused_with_the_remedy(make: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        make()


@pytest.mark.parametrize(
    ("outcome", "width", "said"),
    [
        (GaussianOutcome(NUMBER), 0.0, "all evaluated outcomes are alike"),
        (GaussianOutcome(NUMBER, tolerance=0.3), 0.01, "tolerance=0.3 one constant is right"),
        (GaussianOutcome(NUMBER, tolerance=0.003), 0.01, None),
        (QuantileOutcome(NUMBER, tolerance=0.3), 0.01, "0.01 spreads of all outcomes"),
        (CategoricalOutcome(FieldSpec((), "int64", "token", 3)), 0.0, None),
    ],
)
def test_a_range_of_outcomes_that_is_too_small_is_named(outcome: Outcome, width: float, said: str | None) -> None:
    problem = outcome.too_small_to_tell(torch.tensor(0.5), torch.tensor(0.5 + width))
    assert problem is None if said is None else said in str(problem)


def test_outcomes_are_drawn_as_their_distribution_says() -> None:
    torch.manual_seed(1)
    classes = CategoricalOutcome(FieldSpec((), "int64", "token", 3))
    p = torch.tensor([0.2, 0.7, 0.1])
    drawn = classes.sample(p.log().expand(2, 4000, 3))
    assert drawn.shape == (2, 4000)
    assert torch.allclose(drawn.flatten().bincount() / 8000, p, atol=0.03)
    numbers = GaussianOutcome(FieldSpec((2,)), min_std=0.5)
    drawn = numbers.sample(torch.tensor([1.0, -2.0, -50.0, -50.0]).expand(4000, 4))
    assert torch.allclose(drawn.mean(0), torch.tensor([1.0, -2.0]), atol=0.05)
    assert torch.allclose(drawn.std(0), torch.tensor([0.5, 0.5]), atol=0.05)
    with pytest.raises(MemUPError, match="QuantileOutcome draws no outcomes"):
        QuantileOutcome(FieldSpec()).sample(torch.zeros(1, 8))
