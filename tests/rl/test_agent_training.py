"""Trainings of agents: they learn, and need their memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything

from memup_lightning.datamodules import RolloutDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from memup_lightning.rl.algorithms import IMPALA, PPO
from memup_lightning.rl.networks import RunningNormalizer
from memup_lightning.rl.rollouts.minibatches import iterate_minibatches
from memup_lightning.specs import FieldSpec
from tests.training import quiet_trainer


@pytest.mark.parametrize(("agent", "memory"), [(PPO, None), (PPO, LSTM), (IMPALA, LSTM)])
@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_an_agent_learns_in_every_precision(agent: Any, memory: Any, precision: Any) -> None:
    data = RolloutDataModule(
        "memup/TMaze-v0", {"length": 5}, num_envs=4, num_steps=10, num_minibatches=2, num_val=2, seed=1
    )
    trainer = quiet_trainer(4, [], precision=precision, val_check_interval=2, check_val_every_n_epoch=None)
    model = agent(data.task, memory=memory, normalize_observations=True)
    trainer.fit(model, data)
    assert all(x.isfinite().all() for x in model.state_dict().values())
    assert trainer.callback_metrics["val/return"].isfinite()


class Constant(gymnasium.Env[Any, Any]):
    """Returns the same reward at every step; an episode is one step long."""

    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(1, np.float32), 1e3, True, False, {}


@pytest.mark.parametrize(("agent", "memory"), [(PPO, None), (PPO, LSTM), (IMPALA, LSTM)])
def test_a_loss_that_is_not_finite_ends_the_run_before_it_changes_a_weight(agent: Any, memory: Any) -> None:
    gymnasium.register("Constant-v0", Constant)
    data = RolloutDataModule("Constant-v0", num_envs=2, num_steps=4, num_minibatches=1, seed=1)
    model = agent(data.task, memory=memory, vf_coef=1e38)
    before = [x.clone() for x in model.parameters()]
    with pytest.raises(MemUPError, match=r"value_loss.*not finite at update 0; lower the learning rate"):
        quiet_trainer(4, [], limit_val_batches=0).fit(model, data)
    assert all(torch.equal(x, y) for x, y in zip(before, model.parameters(), strict=True))


def learn(memory: Any, updates: int, cls: Any = PPO, **given: Any) -> dict[str, float]:
    """What an agent's episodes show at the end of its training, on mazes of six steps."""
    seed_everything(1)
    data = RolloutDataModule(
        "memup/TMaze-v0",
        {"length": 6, "mode": "LN"},
        num_envs=32,
        num_steps=21,
        success_return=0,
        num_val=100,
        seed=1,
        **{"update_epochs": 4, "num_minibatches": 2} | given,
    )
    if memory is MemUP:
        memory = MemUP(data.task, memory=partial(LSTM, hidden_size=32, chrono=20))
    model = cls(data.task, memory=memory, optimizer=partial(torch.optim.Adam, lr=5e-3))
    trainer = quiet_trainer(updates, [], val_check_interval=updates, check_val_every_n_epoch=None)
    trainer.fit(model, data)
    return {name: float(x) for name, x in trainer.callback_metrics.items()}


@pytest.mark.learning
@pytest.mark.parametrize("memory", [MemUP, LSTM])
def test_an_agent_with_a_memory_learns_to_turn_the_right_way(memory: Any) -> None:
    assert learn(memory, 320)["val/success"] == 1.0


@pytest.mark.learning
def test_impala_learns_by_a_memory_of_its_own() -> None:
    # One pass over what was played, as published: V-trace corrects for a policy that is a few updates old, not for many.
    assert learn(LSTM, 320, IMPALA, update_epochs=1)["val/success"] == 1.0


@pytest.mark.learning
def test_an_agent_without_a_memory_stays_at_chance() -> None:
    assert learn(None, 320)["val/success"] < 0.7


class PaysAtFirst(gymnasium.Env[Any, Any]):
    """Pays action 1 and fines action 0, in its first 64 steps; from then on it pays nothing."""

    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        paid = (2.0 * int(action) - 1) * (self.steps <= 64)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), paid, self.steps % 16 == 0, False, {}


@pytest.mark.learning
def test_rollouts_that_pay_nothing_leave_the_policy_where_it_is() -> None:
    gymnasium.register("PaysAtFirst-v0", PaysAtFirst)
    seed_everything(1)
    data = RolloutDataModule("PaysAtFirst-v0", num_envs=16, num_steps=34, update_epochs=4, num_minibatches=4, seed=1)
    model = PPO(data.task, ent_coef=0.0, optimizer=partial(torch.optim.Adam, lr=3e-3))
    states = torch.rand(200, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            if trainer.global_step % data.updates_per_rollout == 0:
                policy, _ = model.decide({"observation": states}, torch.zeros(200, 0))
                found.append(policy.log_prob(torch.ones(200)).exp().detach())

    quiet_trainer(20 * data.updates_per_rollout, [Watch()], limit_val_batches=0).fit(model, data)
    assert float(found[1].mean()) > 0.7, "it learns from what pays"
    moved = torch.stack(found[8:]) - found[8]  # the value function has forgotten the pay by then
    assert float(moved.abs().max()) < 0.05


def test_a_rollout_is_played_by_the_weights_after_the_last_update(monkeypatch: pytest.MonkeyPatch) -> None:
    data = RolloutDataModule(
        "memup/TMaze-v0", {"length": 6}, num_envs=2, num_steps=4, update_epochs=1, num_minibatches=2, seed=1
    )
    played: list[int] = []
    collect = data.collect
    monkeypatch.setattr(data, "collect", lambda: played.append(data.trainer.global_step) or collect())  # type: ignore[union-attr, func-returns-value]
    quiet_trainer(7, [], limit_val_batches=0).fit(PPO(data.task), data)
    assert played == [0, 2, 4, 6]


def test_every_epoch_yields_every_row_once() -> None:
    rows = {
        "action": torch.arange(10),
        "state": (torch.arange(10), (torch.arange(10),)),
        "valid": torch.arange(10) != 3,
    }
    batches = list(iterate_minibatches(rows, 3, 4))
    assert len(batches) == 12
    for epoch in range(3):
        part = batches[4 * epoch : 4 * epoch + 4]
        assert sorted(torch.cat([batch["action"] for batch in part]).tolist()) == [0, 1, 2, *range(4, 10)]
        assert all(torch.equal(batch["action"], batch["state"][1][0]) for batch in part)


def test_observations_are_normalised_by_all_observations_so_far() -> None:
    normalizer = RunningNormalizer({"x": FieldSpec((2,)), "kind": FieldSpec((), "int32", "token", 3)})
    batches = [torch.randn(n, 2) * torch.tensor([3.0, 0.1]) + torch.tensor([5.0, -2.0]) for n in (7, 40, 3)]
    for batch in batches:
        normalizer.update(normalizer({"x": batch, "kind": torch.zeros(len(batch))}))
    every = torch.cat(batches)
    found = normalizer({"x": every, "kind": torch.ones(50)})
    expected = (every - every.mean(0)) / every.std(0, correction=0)
    torch.testing.assert_close(found["x"], expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(found["kind"], torch.ones(50))
