"""q_phi(y | c, m): contexts and states that broadcast are predicted as every pair alone."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from memup_lightning.models.predictors import AdditivePredictor, FiLMPredictor, MultiplicativePredictor

B, P, K, C, M, N = 3, 4, 2, 5, 6, 7

each_predictor = pytest.mark.parametrize("kind", [AdditivePredictor, MultiplicativePredictor, FiLMPredictor])


def predictor_of(kind: Any) -> Any:
    torch.manual_seed(0)
    predictor = kind(C, M, N, hidden_size=8)
    torch.nn.init.normal_(predictor.distance.linear.weight)  # 0 at first
    if kind is FiLMPredictor:
        torch.nn.init.normal_(predictor.second.head[-1].weight)  # 0 at first
    return predictor


@each_predictor
def test_contexts_and_states_that_broadcast_equal_every_pair_alone(kind: Any) -> None:
    predictor, context, memory = predictor_of(kind), torch.randn(B, 1, K, C), torch.randn(B, P, 1, M)
    distance = torch.randint(100, (B, P, K))
    whole = predictor(context, memory, distance)
    assert whole.shape == (B, P, K, N)
    for b in range(B):
        for p in range(P):
            for k in range(K):
                alone = predictor(context[b, 0, k], memory[b, p, 0], distance[b, p, k])
                assert torch.allclose(whole[b, p, k], alone, atol=1e-6)


@each_predictor
def test_both_context_and_memory_matter(kind: Any) -> None:
    predictor, context, memory = predictor_of(kind), torch.randn(B, C), torch.randn(B, M)
    out = predictor(context, memory)
    assert not torch.allclose(out, predictor(context + 1, memory), atol=1e-3)
    assert not torch.allclose(out, predictor(context, memory + 1), atol=1e-3)


@each_predictor
def test_the_distance_matters_and_is_0_where_it_is_not_given(kind: Any) -> None:
    predictor, context, memory = predictor_of(kind), torch.randn(B, C), torch.randn(B, M)
    out = [predictor(context, memory, torch.full((B,), steps)) for steps in (0, 3, 1000, 1_000_000)]
    assert torch.equal(out[0], predictor(context, memory))
    assert all(not torch.allclose(x, y, atol=1e-3) for x, y in itertools.pairwise(out))


@each_predictor
def test_the_logarithm_of_the_distance_is_computed_once(kind: Any) -> None:
    predictor, distance = predictor_of(kind), torch.randint(100, (B, P, K))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        predictor(torch.randn(B, 1, K, C), torch.randn(B, P, 1, M), distance)
    assert [x.count for x in profile.key_averages() if x.key == "aten::log1p"] == [1]


@each_predictor
def test_what_is_read_of_a_state_never_grows_with_the_distance_and_most_of_it_stays(kind: Any) -> None:
    _, shares = predictor_of(kind).distance(torch.tensor([0, 1, 10, 1000, 1_000_000]))
    assert torch.equal(shares[0], torch.ones(8))
    assert (shares.diff(dim=0) <= 0).all()
    assert (shares[-1] == 1).sum() == 6
    assert ((shares[2] < 0.5) & (shares[2] > 0.05)).sum() == 2


@each_predictor
def test_a_state_of_zeros_shows_nothing_of_the_distance(kind: Any) -> None:
    predictor = kind(C, M, N)  # fresh: the layer that reads the distance puts out 0
    context, memory = torch.randn(B, C), torch.zeros(B, M)
    assert torch.equal(predictor(context, memory), predictor(context, memory, torch.full((B,), 1000)))


@each_predictor
def test_without_the_distance_all_of_a_state_stays(kind: Any) -> None:
    predictor, context, memory = kind(C, M, N, distance=False), torch.randn(B, C), torch.randn(B, M)
    assert torch.equal(predictor(context, memory), predictor(context, memory, torch.full((B,), 1000)))


@each_predictor
def test_an_exclusive_or_of_context_and_memory_can_be_learned(kind: Any) -> None:
    torch.manual_seed(0)
    predictor = kind(1, 1, 1, hidden_size=16)
    context = torch.tensor([-1.0, -1, 1, 1])[:, None]
    memory = torch.tensor([-1.0, 1, -1, 1])[:, None]
    optimizer = torch.optim.Adam(predictor.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (predictor(context, memory) - context * memory).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.01


@each_predictor
def test_every_parameter_learns(kind: Any) -> None:
    predictor = predictor_of(kind)
    predictor(torch.randn(B, 1, K, C), torch.randn(B, P, 1, M), torch.ones(B, P, K)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in predictor.parameters())


@pytest.mark.parametrize(("kind", "learns"), [(MultiplicativePredictor, False), (FiLMPredictor, True)])
def test_small_traces_of_two_cues_are_combined_by_the_standardised_memory(kind: Any, learns: bool) -> None:
    torch.manual_seed(0)
    cues = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    memory = 0.3 + 0.02 * cues @ torch.randn(2, M)  # what the states have in common is larger
    outcome, context = cues.prod(1, keepdim=True), torch.ones(4, C)
    predictor = kind(C, M, 1, hidden_size=32)
    optimizer = torch.optim.Adam(predictor.parameters(), lr=0.005)
    for _ in range(400):
        predictor.observe(memory, torch.ones(4, dtype=torch.bool))
        optimizer.zero_grad()
        loss = (predictor(context, memory) - outcome).square().mean()
        loss.backward()
        optimizer.step()
    assert (loss < 0.1) == learns
