"""Probes: steps of a lane's own episode, drawn evenly or weighted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME
from memup_lightning.data.streaming.curriculum import CurriculumSampler
from memup_lightning.data.streaming.samplers import ShuffledLaneSampler
from tests.data.streaming.streams import LENGTHS, SCHEDULES, episodes, step_of, stream_of


def test_probes_are_steps_of_the_lanes_own_episode_with_their_context() -> None:
    source = episodes()
    for chunk in stream_of(source, SCHEDULES["training"], probes=4):
        assert chunk.probes is not None
        for lane in range(4):
            episode = int(chunk.episode[lane])
            for probe in range(4):
                step = int(chunk.probes.position[lane, probe])
                assert 0 <= step < LENGTHS[episode]
                exists = bool(step_of(source, HAS_OUTCOME, episode, step))
                assert chunk.probes.valid[lane, probe] == exists
                assert chunk.probes.outcome[lane, probe] == (step_of(source, OUTCOME, episode, step) if exists else 0)
                wanted = [step_of(source, "see", episode, t) for t in range(step - 2, step + 1)]
                assert np.array_equal(chunk.probes.context["see"][lane, probe], np.stack(wanted))


def test_probes_see_every_step_and_the_last_ones_of_a_long_episode_often() -> None:
    lengths = np.full(2, 1000)
    stream = stream_of(episodes(lengths), ShuffledLaneSampler(lengths, 8, 10), 400, probes=4)
    position = torch.cat([c.probes.position.flatten() for c in stream if c.probes is not None])
    counts = np.bincount(position, minlength=1000) / len(position)
    assert counts[-1] > 0.02  # an evenly drawn probe would see it with probability 0.001
    assert counts[:500].sum() == pytest.approx(0.25 + 0.5 * np.log(2) / np.log(1001), abs=0.03)


@pytest.mark.parametrize("restart", [(0.0,), (0.9, 0.1, 0.0), None], ids=["to the end", "restarts", "horizons"])
@pytest.mark.parametrize("curriculum", [{}, {900: 20}], ids=["all", "short first"])
@pytest.mark.parametrize("probes", [1, 2, 5])
def test_weighted_probes_count_as_if_all_steps_were_equally_likely(
    restart: tuple[float, ...] | None, curriculum: dict[int, int], probes: int
) -> None:
    lengths = np.array([3, 12, 20, 60, 150, 1, 40, 7])
    schedule = CurriculumSampler(curriculum, lengths, 24, 5, restart, seed=1)
    stream = stream_of(episodes(lengths), schedule, 4000, probes=probes)
    begin = max(curriculum, default=0)
    weights, number = 0.0, 0
    counts = np.zeros((len(lengths), 150))
    for step in range(begin, begin + 3000, 50):
        chunk = stream.block(np.arange(step, step + 50))
        assert chunk.probes is not None
        assert chunk.probes.weight is not None
        episode = chunk.episode[:, None].expand_as(chunk.probes.position)
        np.add.at(counts, (episode.numpy(), chunk.probes.position.numpy()), chunk.probes.weight.numpy())
        weights, number = weights + float(chunk.probes.weight.sum()), number + chunk.probes.weight.numel()
    assert weights / number == pytest.approx(1, abs=0.05)
    exists = np.arange(150) < lengths[:, None]
    assert not counts[~exists].any()
    share = counts / counts.sum() * lengths.sum()
    by_length = share.sum(1) / lengths  # every step of every episode has its share, whatever the episode's length ...
    assert by_length[lengths >= 12] == pytest.approx(1, abs=0.15)
    assert share[exists & (lengths >= 40)[:, None]].std() < 0.6
    last = share[np.arange(len(lengths)), lengths - 1]
    assert last[lengths >= 12].mean() == pytest.approx(1, abs=0.2)  # ... and the last one has no more


@pytest.mark.parametrize(("length", "share"), [(1000, 1.0), (100_000, 60.2)])
def test_the_last_step_of_a_long_episode_counts_more_than_others(length: int, share: float) -> None:
    lengths = np.array([length])
    stream = stream_of(episodes(lengths), ShuffledLaneSampler(lengths, 64, 10), 200, probes=2)
    chunks = [c.probes for c in stream if c.probes is not None]
    position = torch.cat([c.position.flatten() for c in chunks])
    weight = torch.cat([c.weight.flatten() for c in chunks if c.weight is not None]).double()
    last = weight[position == length - 1].sum() / weight.sum() * length
    assert last == pytest.approx(share, rel=0.15)
    assert weight[position < length // 2].sum() / weight.sum() == pytest.approx(0.5, abs=0.05)


def test_probes_change_with_step_lane_and_seed() -> None:
    lengths = np.full(1, 10_000)

    def places(seed: int) -> Tensor:
        stream = stream_of(episodes(lengths), ShuffledLaneSampler(lengths, 4, 5), 20, probes=2, seed=seed)
        return torch.stack([c.probes.position for c in stream if c.probes is not None])

    first = places(0)
    assert torch.equal(first, places(0))
    assert (first != places(1)).float().mean() > 0.8
    assert (first[1:] != first[:-1]).float().mean() > 0.8
    assert (first[:, 1:] != first[:, :-1]).float().mean() > 0.8
