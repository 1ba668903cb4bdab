"""One target of each context cluster, those first that a memory explains: of every suffix, whatever the blocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.chunk import ClusterAssignment
from memup_lightning.data.targets import NOWHERE, Scorable, TargetTable
from memup_lightning.data.targets.explainable import Explainable
from memup_lightning.exceptions import MemUPError

CPU = torch.device("cpu")
IntArray = npt.NDArray[np.int64]


def equal(count: int) -> torch.Tensor:
    """Clusters of which nothing is known."""
    return torch.ones(count)


def table_for(
    selector: Explainable,
    cluster: IntArray,
    weight: torch.Tensor,
    blocks: list[int] | None = None,
    refreshes: int = 1,
    capacity: int | None = None,
) -> TargetTable:
    """The targets of episodes whose steps are of the given clusters, ``[episodes, steps]``; -1 marks unselectable ones."""
    episodes, steps = cluster.shape
    table = TargetTable(selector, episodes, capacity)
    edges = [0, *sorted({min(b, steps) for b in blocks or []}), steps]
    for _ in range(refreshes):
        collector = table.collect(np.arange(episodes), CPU)
        for begin, end in pairwise(edges):
            part = torch.from_numpy(cluster[:, begin:end])
            position = torch.arange(begin, end).expand(episodes, -1)
            steps_of = ClusterAssignment(part.clamp(min=0), weight)
            collector.extend(torch.zeros(part.shape), position, part >= 0, steps_of)
        collector.finish()
        table.complete_refresh()
    return table


def chosen(table: TargetTable, episode: int, start: int) -> list[int]:
    return sorted(int(p) for p in table.select(np.array([episode]), np.array([start]))[0] if p != NOWHERE)


def by_definition(
    selector: Explainable, cluster: IntArray, weight: torch.Tensor, episode: int, start: int
) -> list[int]:
    """The best step of each cluster with a weight that comes at or after ``start``; of these the K best."""
    steps = cluster.shape[1]
    clusters = ClusterAssignment(torch.from_numpy(cluster[episode : episode + 1]).clamp(min=0), weight)
    scorable = Scorable(torch.zeros(1, steps), torch.tensor([episode]), torch.arange(steps)[None], 0, clusters)
    scores = selector.score(scorable)[0].tolist()
    best: dict[int, int] = {}
    for step in range(start, steps):
        of = int(cluster[episode, step])
        if of >= 0 and weight[of] > 0 and (of not in best or scores[step] >= scores[best[of]]):
            best[of] = step
    return sorted(sorted(best.values(), key=lambda step: -scores[step])[: selector.num_targets])


kinds_of_steps = st.lists(st.lists(st.integers(-1, 5), min_size=6, max_size=6 * 5), min_size=1, max_size=3)


@settings(max_examples=100, deadline=None)
@given(kinds_of_steps, st.integers(1, 4), st.lists(st.integers(0, 30), max_size=4), st.integers(0, 99))
def test_the_targets_of_every_suffix_are_those_of_the_definition(
    episodes: list[list[int]], k: int, blocks: list[int], seed: int
) -> None:
    steps = min(len(episode) for episode in episodes)
    cluster = np.array([episode[:steps] for episode in episodes])
    selector, rng = Explainable(k, seed=seed), np.random.default_rng(seed)
    weight = torch.from_numpy(rng.random(6) * (rng.random(6) < 0.8)).float()
    idle = set((weight == 0).nonzero().flatten().tolist())
    table = table_for(selector, cluster, weight, blocks)
    for episode in range(len(cluster)):
        for start in range(steps):
            found = chosen(table, episode, start)
            assert found == by_definition(selector, cluster, weight, episode, start)
            clusters = [cluster[episode, step] for step in found]
            assert len(set(clusters)) == len(clusters)
            assert len(clusters) == min(k, len(set(cluster[episode, start:]) - {-1} - idle))


def test_long_episodes_keep_few_candidates_and_lose_none_of_the_targets() -> None:
    rng = np.random.default_rng(0)
    cluster = rng.choice(16, size=(4, 20_000), p=[0.9, *[0.1 / 15] * 15]).astype(np.int64)
    selector = Explainable(4)
    table = table_for(selector, cluster, equal(16), list(range(500, 20_000, 500)))
    assert table.candidates.count.max() <= 64
    for episode in range(4):
        for start in (0, 17, 9_999, 19_000, 19_990, 19_999):
            assert chosen(table, episode, start) == by_definition(selector, cluster, equal(16), episode, start)


def test_a_cluster_of_one_step_is_chosen_as_often_as_a_cluster_of_thirty() -> None:
    cluster = np.tile(np.array([0] * 30 + [1]), (4000, 1))
    found = table_for(Explainable(1), cluster, equal(2)).select(np.arange(4000), np.zeros(4000, np.int64))
    assert abs((found[:, 0] == 30).mean() - 0.5) < 0.03
    _, counts = np.unique(found[found != 30], return_counts=True)
    assert len(counts) == 30
    assert counts.max() < 2 * counts.min()


def test_clusters_come_first_in_proportion_to_their_weights_and_none_is_never_chosen() -> None:
    cluster, weight = np.tile(np.arange(4), (4000, 1)), torch.tensor([16.0, 2.0, 1.0, 1.0])
    found = table_for(Explainable(1), cluster, weight).select(np.arange(4000), np.zeros(4000, np.int64))
    share = np.bincount(found[:, 0], minlength=4) / 4000
    assert np.abs(share - np.array([0.8, 0.1, 0.05, 0.05])).max() < 0.025


def test_draws_change_with_the_refresh_and_with_the_seed_and_with_nothing_else() -> None:
    cluster = np.tile(np.arange(16), (500, 1))

    def choice(seed: int = 0, refreshes: int = 1) -> IntArray:
        table = table_for(Explainable(1, seed=seed), cluster, equal(16), refreshes=refreshes)
        return table.select(np.arange(500), np.zeros(500, np.int64))

    once = choice()
    assert np.array_equal(once, choice())
    assert (once == choice(refreshes=2)).mean() < 0.2
    assert (once == choice(seed=1)).mean() < 0.2


def test_an_impossible_selector_is_refused_with_its_value() -> None:
    with pytest.raises(MemUPError, match="num_targets=-1"):
        Explainable(-1)
