"""Rollouts: what an agent reads, records and learns from, whatever begins and ends in the middle of them."""

from __future__ import annotations

import itertools
import os
import signal
import time
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical

from memup_lightning.chunk import Fields
from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming.samplers import SequentialSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.envs import TMazeVectorEnv
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import GRU, LSTM, State
from memup_lightning.modules import MemUP
from memup_lightning.protocols import ActorOutput
from memup_lightning.rl.algorithms import IMPALA, PPO
from memup_lightning.rl.algorithms.advantages import generalized_advantage_estimation, vtrace
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.networks import GumbelCategorical
from memup_lightning.rl.rollouts.minibatches import iterate_minibatches
from memup_lightning.rl.rollouts.rollout import EpisodeResult, Rollout
from memup_lightning.rl.rollouts.unroll import unroll
from memup_lightning.rl.vector_envs import make_vector_env

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
TMAZE = TMazeDataModule(length=20).task


class Counting(gymnasium.Env[Any, Any]):
    """Shows the number of the step, pays it, and ends after ``length`` steps: by itself, or cut off."""

    observation_space = gymnasium.spaces.Box(-1, 100, (1,))
    action_space = gymnasium.spaces.Discrete(2, start=5)

    def __init__(self, length: int = 3, truncates: bool = False) -> None:
        self.length, self.truncates = length, truncates

    def _see(self) -> Any:
        return np.array([self.count], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._see(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.count += 1
        over = self.count >= self.length
        return self._see(), float(self.count), over and not self.truncates, over and self.truncates, {}


class Seer:
    """Values a step at ten times what it sees, and remembers the sum of all that it saw in the episode."""

    def initial_state(self, envs: int) -> State:
        return torch.zeros(envs)

    def act(self, inputs: Fields, state: State, is_first: Tensor) -> ActorOutput:
        assert isinstance(state, Tensor)
        seen = inputs["observation"][:, 0]
        state = state.masked_fill(is_first, 0) + seen
        record = {"value": 10 * seen, "sum": state} | {f"read.{name}": x for name, x in inputs.items()}
        return ActorOutput(torch.zeros(len(seen), dtype=torch.int64), record, state)

    def value(self, inputs: Fields, state: State, is_first: Tensor) -> Tensor:
        return 10 * inputs["observation"][:, 0]


def counting(mode: AutoresetMode, *envs: tuple[int, bool]) -> RolloutCollector:
    from memup_lightning.datamodules.agent_task import agent_task

    env = SyncVectorEnv([partial(Counting, *given) for given in envs], autoreset_mode=mode)
    task = agent_task(env.single_observation_space, env.single_action_space, "Counting")
    return RolloutCollector(env, task, seed=1)


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


@pytest.mark.parametrize("memory", [None, LSTM])
def test_an_agent_learns_from_no_step_that_only_resets(memory: Any) -> None:
    torch.manual_seed(0)
    model = PPO(TMAZE, memory=memory)
    rollout = RolloutCollector(TMazeVectorEnv(2, length=4, mode="L"), TMAZE, 1).collect(
        model, 11
    )  # 4 steps and a reset
    assert rollout.num_valid_steps == 18
    rows = model.make_batches(rollout)
    assert int(rows["valid"].sum()) == 18
    assert sum(int(batch["valid"].sum()) for batch in iterate_minibatches(rows, 1, 2)) == 18
    assert all(batch["valid"].any(-1).all() for batch in iterate_minibatches(rows, 1, 2))


def test_the_policy_that_played_is_the_one_that_learns_first() -> None:
    """Before any update the probabilities of a rollout come out of the learning pass as they were recorded."""
    for memory in (None, LSTM, MemUP(TMAZE)):
        torch.manual_seed(0)
        model = PPO(TMAZE, memory=memory, normalize_observations=True)
        player = RolloutCollector(TMazeVectorEnv(5, length=4), TMAZE, 1)
        for _ in range(2):  # the second begins in the middle of episodes, with moments that were learned
            rollout = player.collect(model, 9)
            seen = {name.removeprefix("input."): x for name, x in rollout.record.items() if name.startswith("input.")}
            rows = model.make_batches(rollout)
            if memory is LSTM:
                m = model.memory.encode_batch({name: x.transpose(0, 1) for name, x in seen.items()}, rows).transpose(
                    0, 1
                )
            else:
                m = rollout.record["memory"]
            policy, value = model.decide(seen, m)
            torch.testing.assert_close(policy.log_prob(rollout.record["action"]), rollout.record["log_prob"])
            torch.testing.assert_close(value, rollout.record["value"])


def test_advantages_keep_their_scale_in_a_rollout_without_rewards() -> None:
    """Errors of the value function are not scaled up, and rewards have the same effect in every unit."""
    torch.manual_seed(0)
    found = {}
    for unit in (1.0, 100.0):
        model = PPO(TMAZE)
        player = RolloutCollector(TMazeVectorEnv(4, length=6), TMAZE, 1)
        rewarded, unrewarded = (player.collect(model, 14) for _ in range(2))
        for rollout in (rewarded, unrewarded):
            rollout.record["value"] *= 0.01
            rollout.next_value *= 0.01
        rewarded.reward = unit * torch.randn_like(rewarded.reward)
        unrewarded.reward = torch.zeros_like(rewarded.reward)
        advantage = model.compute_advantages(rewarded)["advantage"][rewarded.valid]
        assert float(advantage.mean()) == pytest.approx(0, abs=1e-5)
        assert float(advantage.std(correction=0)) == pytest.approx(1, abs=1e-3)
        quiet = model.compute_advantages(unrewarded)["advantage"][unrewarded.valid]
        assert float(quiet.abs().max()) < 0.1
        again = model.compute_advantages(rewarded)["advantage"][rewarded.valid]
        torch.testing.assert_close(again, advantage)
        found[unit] = float(model.advantage_scale)
        assert "advantage_scale" in model.state_dict()  # a resumed run continues with it
    assert 50 < found[100.0] / found[1.0] < 200


def test_actions_are_drawn_as_often_as_the_policy_says() -> None:
    torch.manual_seed(0)
    choice = GumbelCategorical(logits=torch.tensor([[0.0, 1.0, -1.0], [5.0, 5.0, -9.0]]))
    drawn = torch.stack([choice.sample() for _ in range(4000)])
    shares = torch.stack([(drawn == action).float().mean(0) for action in range(3)], -1)
    torch.testing.assert_close(shares, choice.probs, atol=0.03, rtol=0)
    assert choice.sample((7, 2)).shape == (7, 2, 2)
    assert choice.mode[0] == 1


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


class Crashing(Counting):
    """Kills its process, or hangs, at the second step."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def step(self, action: Any) -> Any:
        if self.count == 1 and self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == 1 and self.how == "hang":
            time.sleep(60)
        if self.count == 1 and self.how == "raise":
            raise ZeroDivisionError("in the environment")
        return super().step(action)


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("kill", MemUPError, r"process of environment 1 \(exit code -9\) died.*--ckpt_path last"),
        ("hang", MemUPError, "did not answer within 1 seconds"),
        ("raise", MemUPError, "ZeroDivisionError: in the environment"),
    ],
)
def test_a_crashed_environment_process_ends_in_an_error_not_in_a_wait(how: str, kind: Any, message: str) -> None:
    from memup_lightning.datamodules.agent_task import agent_task

    env = AsyncVectorEnv([Counting, partial(Crashing, how)])
    player = RolloutCollector(
        env,
        agent_task(Counting.observation_space, Counting.action_space, "Counting"),
        1,
        timeout=1 if how == "hang" else 30,
    )
    with pytest.raises(kind, match=message):
        player.collect(Seer(), 5)
    env.close()


def test_processes_of_environments_end_when_asked_whatever_the_trainer_does_at_sigterm() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # like Lightning, which only notes that it came
    try:
        env = make_vector_env("memup/TMaze-v0", 2, {"length": 5}, vectorization="async")
        assert callable(signal.getsignal(signal.SIGTERM)), "the trainer's own handler is there again"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert isinstance(env, AsyncVectorEnv)
    env.closed = True  # its processes are ended here
    for process in env.processes:
        process.terminate()
    for process in env.processes:
        process.join(20)
    codes = [process.exitcode for process in env.processes]
    for process in env.processes:
        process.kill()
    assert codes == [-signal.SIGTERM] * 2


def test_a_reward_that_is_no_number_is_refused() -> None:
    class NaN(Counting):
        def step(self, action: Any) -> Any:
            return *super().step(action)[:1], float("nan"), False, False, {}

    player = counting(AutoresetMode.NEXT_STEP, (3, False))
    player.driver.env = SyncVectorEnv([NaN])
    player.driver.env.reset()
    with pytest.raises(MemUPError, match=r"environment 0 gave nan at step 0 of its episode \(field reward\)"):
        player.collect(Seer(), 2)


def some_rows(steps: int = 7, envs: int = 3) -> dict[str, Tensor]:
    """A rollout's numbers, ``[steps, envs]``, with ends of both kinds."""
    torch.manual_seed(3)
    names = ("reward", "next_value", "value", "log_prob")
    rows = {name: torch.randn(steps, envs) for name in names}
    rows |= {name: torch.rand(steps, envs) < 0.2 for name in ("terminated", "truncated")}
    return rows | {"valid": torch.ones(steps, envs, dtype=torch.bool)}


def test_ppo_computes_advantages_with_its_own_gamma_and_lambda() -> None:
    rows = some_rows()
    record = {"value": rows["value"]}
    ends = {name: rows[name] for name in ("valid", "reward", "terminated", "truncated", "next_value")}
    rollout = Rollout(record=record, is_first=rows["terminated"], state=(), **ends)
    model = PPO(TMAZE, memory=None, gamma=0.5, gae_lambda=0.3, normalize_advantages=False)
    names = ("reward", "value", "next_value", "terminated", "truncated")
    expected = generalized_advantage_estimation(*(rows[name] for name in names), gamma=0.5, gae_lambda=0.3)
    computed = model.compute_advantages(rollout)
    torch.testing.assert_close(computed["advantage"], expected)
    torch.testing.assert_close(computed["target"], expected + rows["value"])


def test_impala_corrects_with_the_values_of_now_and_its_own_arguments() -> None:
    rows = {name: x.T for name, x in some_rows().items()}
    rows["action"] = torch.zeros(3, 7, dtype=torch.int64)
    policy = Categorical(logits=torch.randn(3, 7, 4))
    given = {"vtrace_lambda": 0.6, "rho_clip": 0.9, "c_clip": 0.8}
    model = IMPALA(TMAZE, memory=LSTM, gamma=0.5, **given)
    value = torch.randn(3, 7)
    bootstrap = rows["next_value"].clone()
    for env, step in (~(rows["terminated"] | rows["truncated"]))[:, :-1].nonzero().tolist():
        bootstrap[env, step] = value[env, step + 1]
    log_prob = policy.log_prob(rows["action"])
    columns = ((log_prob - rows["log_prob"]), rows["reward"], value, bootstrap, rows["terminated"], rows["truncated"])
    target, advantage = vtrace(*(x.T for x in columns), gamma=0.5, vtrace_lambda=0.6, rho_clip=0.9, c_clip=0.8)
    losses = model.losses(rows, policy, value)
    torch.testing.assert_close(losses["policy_loss"], -(log_prob * advantage.T).mean())
    torch.testing.assert_close(losses["value_loss"], model.vf_coef * 0.5 * (value - target.T).square().mean())


def test_a_greedy_agent_always_takes_the_most_probable_action() -> None:
    class Torn(PPO):
        def encode_memory(self, inputs: Any, state: Any, is_first: Any) -> Any:
            return dict.fromkeys(self.task.inputs, torch.zeros(200)), torch.zeros(200, 0), state

        def decide(self, seen: Any, memory: Any) -> Any:
            return Categorical(probs=torch.tensor([0.4, 0.6]).expand(200, 2)), torch.zeros(200)

    torch.manual_seed(0)
    model = Torn(TMAZE, memory=None)
    begins = torch.ones(200, dtype=torch.bool)
    assert model.act({}, (), begins, greedy=True).action.unique().tolist() == [1]
    assert model.act({}, (), begins).action.unique().tolist() == [0, 1]
