"""What an agent learns from a rollout: the steps that count, advantages, and the arguments of its algorithm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from memup_lightning.envs import TMazeVectorEnv
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from memup_lightning.rl.algorithms import IMPALA, PPO
from memup_lightning.rl.algorithms.advantages import generalized_advantage_estimation, vtrace
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.networks import GumbelCategorical
from memup_lightning.rl.rollouts.minibatches import iterate_minibatches
from memup_lightning.rl.rollouts.rollout import Rollout
from tests.rl.watched_agents import TMAZE


@pytest.mark.parametrize("memory", [None, LSTM])
def test_an_agent_learns_from_no_step_that_only_resets(memory: Any) -> None:
    torch.manual_seed(0)
    model = PPO(TMAZE, memory=memory)
    # 4 steps and a reset.
    rollout = RolloutCollector(TMazeVectorEnv(2, length=4, mode="L"), TMAZE, 1).collect(model, 11)
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
