"""Rollouts: what an agent reads and records, whatever begins and ends in the middle of them."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming.samplers import SequentialSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.envs import TMazeVectorEnv
from memup_lightning.models.memory import GRU, LSTM
from memup_lightning.modules import MemUP
from memup_lightning.rl.algorithms import PPO
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.rollouts.rollout import EpisodeResult, Rollout
from memup_lightning.rl.rollouts.unroll import unroll
from tests.rl.watched_agents import MODES, TMAZE, Counting, Seer, counting


@pytest.mark.parametrize("mode", MODES)
def test_every_step_is_played_once_and_reads_what_came_before_it(mode: AutoresetMode) -> None:
    rollout = counting(mode, (3, False), (2, True)).collect(Seer(), 9)
    record = rollout.record
    for env, length in enumerate((3, 2)):
        rows = rollout.valid[:, env]
        seen = record["read.observation"][rows, env, 0]
        assert seen.tolist() == [t % length for t in range(int(rows.sum()))]
        first = seen == 0
        assert rollout.is_first[rows, env].tolist() == first.tolist()
        assert record["read.action"][rows, env].tolist() == torch.where(first, -1, 0).tolist()
        assert record["read.reward"][rows, env].tolist() == seen.tolist()  # the env pays the number of the step
        assert record["sum"][rows, env].tolist() == [sum(range(int(x) + 1)) for x in seen]
        assert rollout.reward[rows, env].tolist() == (seen + 1).tolist()
    lost = 3 if mode == AutoresetMode.NEXT_STEP else 0  # 9 calls: episodes of 3 and a reset; of 2 and a reset
    assert rollout.num_valid_steps == 18 - (2 + lost if lost else 0)


@pytest.mark.parametrize("mode", MODES)
def test_a_truncated_episode_is_valued_by_what_it_would_have_seen_next(mode: AutoresetMode) -> None:
    rollout = counting(mode, (3, False), (2, True)).collect(Seer(), 9)
    counts = rollout.valid & ~rollout.terminated
    seen = rollout.record["read.observation"][..., 0]
    assert torch.equal(rollout.next_value[counts], 10 * (seen[counts] + 1))
    assert rollout.terminated[rollout.valid].sum() >= 2
    assert rollout.truncated[rollout.valid].sum() >= 3
    assert not (rollout.terminated | rollout.truncated)[~rollout.valid].any()


@pytest.mark.parametrize("mode", MODES)
def test_episodes_go_on_from_one_rollout_to_the_next(mode: AutoresetMode) -> None:
    player, other = (counting(mode, (4, False), (3, True)) for _ in range(2))
    actor = Seer()
    whole = player.collect(actor, 11)
    parts = [other.collect(actor, steps) for steps in (2, 5, 4)]
    for name in ("reward", "valid", "is_first", "terminated", "truncated", "next_value"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts])), name
    assert torch.equal(whole.record["sum"], torch.cat([part.record["sum"] for part in parts]))
    assert player.take_finished() == other.take_finished()
    assert player.take_finished() == []


@pytest.mark.parametrize("mode", MODES)
def test_finished_episodes_are_counted_without_the_steps_that_only_reset(mode: AutoresetMode) -> None:
    player = counting(mode, (3, False), (2, True))
    found = list(player.episodes(Seer(), 5))
    assert sorted(found) == [EpisodeResult(0, 6.0, 3)] * 3 + [EpisodeResult(1, 3.0, 2)] * 2


def agent(core: Any = LSTM) -> PPO:
    """An agent whose memory is a MemUP module as it begins."""
    torch.manual_seed(3)
    return PPO(TMAZE, memory=MemUP(TMAZE, memory=partial(core, hidden_size=8)))


def episodes_of(rollout: Rollout, env: int) -> list[dict[str, np.ndarray[Any, Any]]]:
    """The episodes of an environment that lie in the rollout as a whole, and the first part of the last one."""
    rows = rollout.valid[:, env].nonzero().flatten()
    bounds = [*rollout.is_first[rows, env].nonzero().flatten().tolist(), len(rows)]
    arrays = {
        "observation": rollout.record["input.observation"][rows, env],
        "action": rollout.record["action"][rows, env].int(),
        "reward": rollout.reward[rows, env],
        "memory": rollout.record["memory"][rows, env],
    }
    return [{name: x[a:b].numpy() for name, x in arrays.items()} for a, b in itertools.pairwise(bounds)]


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([LSTM, GRU]),
    st.sampled_from(MODES[:2]),
    st.integers(2, 9),
    st.integers(1, 6),
    st.integers(5, 40),
    st.integers(0, 100),
)
def test_the_memory_of_a_step_is_that_of_the_chunked_pass(
    core: Any, mode: AutoresetMode, length: int, chunk_length: int, steps: int, seed: int
) -> None:
    """Act by act, over resets in the middle of a rollout, against the way in which a memory is trained."""
    model = agent(core)
    player = RolloutCollector(TMazeVectorEnv(3, length=length, autoreset_mode=mode), TMAZE, seed)
    rollout = player.collect(model, steps)
    played = [episode for env in range(3) for episode in episodes_of(rollout, env)]
    expected = np.concatenate([episode.pop("memory") for episode in played])
    arrays = {name: np.concatenate([episode[name] for episode in played]) for name in played[0]}
    arrays[OUTCOME] = arrays["reward"].copy()
    lengths = np.array([len(episode["reward"]) for episode in played])
    source = ArrayEpisodes(arrays, lengths, TMAZE.fields)
    schedule = SequentialSampler(source.lengths, len(played), chunk_length)
    found: dict[tuple[int, int], Tensor] = {}
    state = model.initial_state(len(played))
    memory = model.memory
    assert memory.output_size
    for chunk in ChunkStream(source, TMAZE, schedule, schedule.steps):
        with torch.no_grad():
            out, state = memory.core(memory.encoder(chunk.inputs), state, chunk.is_first)  # type: ignore[union-attr]
        for lane, place in chunk.valid.nonzero().tolist():
            found[int(chunk.episode[lane]), int(chunk.start[lane]) + place] = out[lane, place]
    chunked = torch.stack([found[key] for key in sorted(found)])
    assert len(chunked) == lengths.sum()
    torch.testing.assert_close(torch.from_numpy(expected), chunked, atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.floats(0, 1), st.booleans(), st.integers(0, 1000))
def test_a_core_unrolled_over_resets_goes_step_by_step(
    rows: int, steps: int, share: float, endless: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    core = LSTM(3, 5)
    x, is_first = torch.randn(rows, steps, 3), torch.rand(rows, steps) < share
    is_first[0, 1:] &= not endless  # one long stretch among many short ones
    state = start = (torch.randn(rows, 1, 5), torch.randn(rows, 1, 5))
    out = []
    for t in range(steps):
        m, state = core(x[:, t : t + 1], state, is_first[:, t])  # type: ignore[assignment]
        out.append(m)
    torch.testing.assert_close(unroll(core, x, start, is_first), torch.cat(out, 1))


def test_one_long_stretch_does_not_make_short_ones_as_long() -> None:
    class Counts(LSTM):
        steps = 0

        def forward(self, x: Tensor, *given: Any) -> Any:
            Counts.steps += x.shape[0] * x.shape[1]
            return super().forward(x, *given)

    is_first = torch.zeros(16, 512, dtype=torch.bool)
    is_first[1:, ::3] = True
    core = Counts(3, 5)
    assert unroll(core, torch.zeros(16, 512, 3), core.initial_state(16), is_first).shape == (16, 512, 5)
    assert Counts.steps < 2 * is_first.numel()


class Failing(Counting):
    """Loses its first episode at the second step."""

    lost = False

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, _ = super().step(action)
        fails = self.count == 2 and not self.lost
        self.lost |= fails
        return observation, reward, terminated, truncated or fails, {"discarded": fails}


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_an_episode_that_its_environment_discards_is_no_result(mode: AutoresetMode) -> None:
    from memup_lightning.datamodules.agent_task import agent_task

    env = SyncVectorEnv([Failing, Counting], autoreset_mode=mode)
    player = RolloutCollector(env, agent_task(Counting.observation_space, Counting.action_space, "Counting"), 1)
    assert [(x.env, x.length) for x in player.episodes(Seer(), 4)] == [(1, 3), (0, 3), (1, 3), (0, 3)]
