"""Clusters of context: clusters that follow the features, and statistics of loss-free episodes alone."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch

from memup_lightning.models.context_clusters import ContextClusters

CPU = torch.device("cpu")


def islands(count: int = 3, each: int = 50, apart: float = 10.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features in well separated groups, ``[count * each, count]``, and the number of each one's group."""
    group = torch.arange(count).repeat_interleave(each)
    noise = torch.randn(len(group), count, generator=torch.Generator().manual_seed(seed))
    return apart * torch.eye(count)[group] + 0.1 * noise, group


def fitted(features: torch.Tensor, uncertainty: torch.Tensor, count: int) -> ContextClusters:
    clusters = ContextClusters(count, CPU)
    clusters.fit(features, uncertainty, {"x": features[:, None]}, seed=0)
    return clusters


def test_contexts_that_look_alike_are_of_one_cluster_and_others_of_another() -> None:
    features, group = islands()
    cluster = fitted(features, torch.ones(len(group)), 3)(features)
    for number in range(3):
        assert len(cluster[group == number].unique()) == 1
    assert len(cluster.unique()) == 3


def test_a_few_uncertain_contexts_are_distinguished_and_many_certain_ones_are_not() -> None:
    features, group = islands(count=8, each=20)
    features = torch.cat([features, features[:40].repeat(50, 1) - 30])
    uncertainty = torch.cat([torch.ones(len(group)), torch.zeros(40 * 50)])
    cluster = fitted(features, uncertainty, 8)(features[: len(group)])
    assert len({int(cluster[group == number].mode().values) for number in range(8)}) >= 7


def test_clusters_keep_their_numbers_while_the_features_drift() -> None:
    features, group = islands()
    clusters = fitted(features, torch.ones(len(group)), 3)
    before = clusters(features)
    for _ in range(10):
        features = features + torch.tensor([2.0, -1.0, 0.5])
        clusters.fit(features, torch.ones(len(group)), {"x": features[:, None]}, seed=0)
    assert torch.equal(clusters(features), before)


def observed(clusters: ContextClusters, cluster: int, gain: float, episodes: int = 100, counts: bool = True) -> None:
    """One step of that cluster in each of some episodes."""
    noise = 0.2 * (-1.0) ** torch.arange(episodes)
    shape = (episodes, 1)
    clusters.observe(
        torch.full(shape, cluster), gain + noise[:, None], torch.full(shape, counts), torch.arange(episodes)
    )


def refreshed(clusters: ContextClusters) -> ContextClusters:
    features, group = islands()
    clusters.fit(features, torch.ones(len(group)), {"x": features[:, None]}, seed=0)
    return clusters


def equally_uncertain() -> ContextClusters:
    features, group = islands()
    return fitted(features, torch.ones(len(group)), 3)


def test_a_cluster_weighs_more_the_surer_it_is_that_the_memory_explains_something_of_it() -> None:
    clusters = equally_uncertain()
    observed(clusters, 0, 0.03)  # 1.5 standard errors
    observed(clusters, 1, -0.5)
    few, none, unknown = refreshed(clusters).weights()
    assert few / unknown == pytest.approx(math.exp(1.5), rel=0.05)
    assert none == unknown == 1
    for _ in range(3):
        observed(clusters, 0, 2.0)
        sure = refreshed(clusters).weights()
    assert sure[0] / sure[2] == pytest.approx(math.exp(5), rel=0.01)  # others are still drawn now and then


def test_what_is_not_observed_any_more_is_forgotten() -> None:
    clusters = equally_uncertain()
    observed(clusters, 0, 0.1)
    weights = [float(refreshed(clusters).weights()[0]) for _ in range(16)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] < 1.1


def test_a_step_that_lanes_meet_again_and_again_is_one_observation() -> None:
    clusters, again = equally_uncertain(), equally_uncertain()
    observed(clusters, 0, 0.1, episodes=10)
    for _ in range(50):
        observed(again, 0, 0.1, episodes=10)
    torch.testing.assert_close(refreshed(clusters).weights(), refreshed(again).weights())


def test_a_rare_cluster_weighs_as_much_more_as_it_is_rare() -> None:
    clusters = equally_uncertain()
    for block in ([[0, 1, 1], [1, 1, 1]], [[1, 2, 2], [1, 0, 0]]):
        clusters.count_presence(torch.tensor(block), torch.tensor([[True] * 3, [True, False, False]]))
    assert refreshed(clusters).weights().tolist() == [4, 1, 4]


def test_a_certain_cluster_weighs_next_to_nothing_and_nothing_where_it_is_common() -> None:
    features, group = islands()
    clusters = fitted(features, (group == 0).float(), 3)
    uncertain, common, rare = (int(clusters(features)[group == number][0]) for number in range(3))
    clusters.count_presence(
        torch.tensor([[uncertain, common, rare]] + [[common] * 3] * 9), torch.ones(10, 3, dtype=torch.bool)
    )
    clusters.fit(features, (group == 0).float(), {"x": features[:, None]}, seed=0)
    weights = clusters.weights()
    assert weights[uncertain] == pytest.approx(10.0)
    assert weights[common] == 0
    assert 0 < weights[rare] < 0.1


def test_targets_of_episodes_that_are_trained_on_do_not_enter() -> None:
    clusters = equally_uncertain()
    observed(clusters, 0, 5.0, counts=False)
    assert refreshed(clusters).weights().tolist() == [1, 1, 1]


def test_the_summary_names_each_cluster_by_a_context_and_says_what_was_explained() -> None:
    features, group = islands()
    clusters = fitted(features, torch.ones(len(group)), 3)
    cluster = int(clusters(features[:1]))
    observed(clusters, cluster, 2.0)
    observed(clusters, (cluster + 1) % 3, 0.0)
    clusters.count_targets(
        torch.tensor([[cluster, cluster, cluster, (cluster + 1) % 3, cluster]]), torch.tensor([[True] * 4 + [False]])
    )
    first, second, last = clusters.summary()
    assert first["example"].startswith(("x 10 ", "x 9.", "x 11 "))
    assert (first["gain"], first["share"]) == (pytest.approx(2.0), pytest.approx(0.75))
    assert first["error"] == pytest.approx(0.02, rel=0.01)
    assert second["gain"] == pytest.approx(0.0)
    assert (last["gain"], last["error"], last["share"]) == (None, None, 0)


def test_clusters_come_back_from_a_checkpoint_as_they_were() -> None:
    features, group = islands()
    clusters = fitted(features, torch.rand(len(group)), 3)
    observed(clusters, 0, 1.0)
    file = io.BytesIO()
    torch.save(clusters.state_dict(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    other = ContextClusters(0, CPU)
    other.load_state_dict(state, rank=0)
    assert torch.equal(other(features), clusters(features))
    assert other.summary() == clusters.summary()
    assert torch.equal(refreshed(clusters).weights(), refreshed(other).weights())
