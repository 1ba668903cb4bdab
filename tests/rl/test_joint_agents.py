"""Agents whose memory is trained together with the policy."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pytorch_lightning import seed_everything

from memup_lightning.cli.main import main
from memup_lightning.datamodules import RolloutDataModule, TMazeDataModule
from memup_lightning.datamodules.played.joint import JointDataModule, RecentEpisodes
from memup_lightning.envs import TMazeVectorEnv
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.modules import MemUP
from memup_lightning.rl.agent import Agent
from memup_lightning.rl.agent_memory import FrozenMemory
from memup_lightning.rl.algorithms import PPO, JointPPO
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from tests.command_line import tiny
from tests.rl.agents import ADAM, PHASE_2, Run, last
from tests.training import quiet_trainer

JOINT: dict[str, Any] = {
    "model": {
        "class_path": "JointPPO",
        "init_args": {
            "memup": {"class_path": "MemUP", "init_args": {"memory": {"class_path": "LSTM"}}},
            "optimizer": ADAM,
        },
    },
    "data": {
        "class_path": "JointDataModule",
        "init_args": PHASE_2["data"]["init_args"] | {"env_kwargs": {"length": 5}, "memory_updates": 3},
    },
}


@pytest.fixture
def joint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a subcommand of joint training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    given = tiny(tmp_path) | JOINT
    given["trainer"] |= {"max_steps": 21, "val_check_interval": 7, "log_every_n_steps": 1}
    given["trainer"]["callbacks"] = [*given["trainer"]["callbacks"][1:], {"class_path": "RunReport"}]
    (tmp_path / "joint.yaml").write_text(yaml.safe_dump(given))
    return lambda subcommand, *options: main([subcommand, "--config", "joint.yaml", *options])


def test_joint_training_moves_memory_and_policy_and_its_copy_follows(joint: Run) -> None:
    first = joint("fit", "--trainer.max_steps=4")  # a rollout for the policy, no chunk yet
    agent = first.model
    for copied, learned in zip(agent.memory.core.parameters(), agent.memup.memory.parameters(), strict=True):
        assert torch.equal(copied, learned), "only chunks train the memory"
    cli = joint("fit")
    logged = cli.trainer.logged_metrics
    assert {"train/memory_loss", "train/local_loss", "train/policy_loss", "train/entropy"} <= logged.keys()
    core, before = cli.model.memup.memory.state_dict(), agent.memup.memory.state_dict()
    copied = cli.model.memory.core.state_dict()
    assert float(logged["train/memory_loss"]) > 0, "targets were selected"
    for name, x in core.items():
        assert not torch.equal(x, before[name])
        between = (copied[name] - before[name]).abs() <= (x - before[name]).abs() + 1e-2
        assert between.all()
        assert not torch.equal(copied[name], x)
        assert not torch.equal(copied[name], before[name])
    path = last(cli)
    resumed = joint("fit", "--ckpt_path", path, "--trainer.max_steps=24")
    assert resumed.trainer.global_step == 24
    assert resumed.model.memup.lanes.num_chunks >= cli.model.memup.lanes.num_chunks > 0
    agent = Agent.load(path)
    assert agent.predict_outcomes(np.zeros((2, 3), np.float32), agent.initial_state(2)).shape == (2, 2)


def test_the_moving_average_moves_once_per_optimizer_step_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under gradient accumulation too, as MemUP's own average does."""
    seed_everything(1)
    given = {"num_steps": 10, "update_epochs": 2, "num_minibatches": 2, "rollouts_per_epoch": 2}
    data = JointDataModule("memup/TMaze-v0", {"length": 5}, num_envs=4, memory_updates=4, seed=1, **given)
    model = JointPPO(data.task)
    updates: list[int] = []
    update = FrozenMemory.update_ema
    monkeypatch.setattr(
        FrozenMemory, "update_ema", lambda *given: updates.append(data.trainer.global_step) or update(*given)
    )
    quiet_trainer(8, [], limit_val_batches=0, accumulate_grad_batches=2).fit(model, data)
    assert data.consumed == 16  # of each rollout 4 minibatches of the policy, then 4 chunks
    assert len(updates) == 4


@pytest.mark.parametrize("kind", ["PPO", "JointPPO"])
def test_a_new_agent_learns_the_same_from_a_used_datamodule_as_from_a_fresh_one(kind: str) -> None:
    given: dict[str, Any] = {"num_envs": 4, "num_steps": 10, "update_epochs": 2, "num_minibatches": 2, "seed": 1}

    def make() -> RolloutDataModule:
        if kind == "PPO":
            return RolloutDataModule("memup/TMaze-v0", {"length": 5}, **given)
        return JointDataModule("memup/TMaze-v0", {"length": 5}, memory_updates=2, chunk_length=3, lanes=4, **given)

    def fit(data: RolloutDataModule, model: Any = None) -> Any:
        seed_everything(1)
        model = model or (PPO if kind == "PPO" else JointPPO)(data.task)
        quiet_trainer(14, [], limit_val_batches=0).fit(model, data)
        return model

    data = make()
    first = fit(data)
    progress = data.training_progress()
    again = fit(data)
    for name, x in first.state_dict().items():
        assert torch.equal(x, again.state_dict()[name]), name
    assert data.training_progress() == progress
    assert data.consumed == 14
    fit(data, again)
    assert data.consumed == 28, "the same model continues where it was"


class StepsTogether(StepEncoder):
    """Encodes a step by the mean of all steps of the chunk, which breaks the contract."""

    def forward(self, fields: Any) -> Any:
        x = super().forward(fields)
        return x - x.mean(dim=-2, keepdim=True)


def test_joint_training_tries_the_memory_s_networks_on_the_first_episodes() -> None:
    data = JointDataModule("memup/TMaze-v0", {"length": 5}, num_envs=4, num_steps=10, memory_updates=2, seed=1)
    model = JointPPO(data.task, memup=partial(MemUP, encoder=StepsTogether))
    with pytest.raises(MemUPError, match=r"StepsTogether\.forward gives a step other features where other steps"):
        quiet_trainer(30, [], limit_val_batches=0).fit(model, data)


def test_the_newest_episodes_replace_the_oldest() -> None:
    seed_everything(1)
    recent = RecentEpisodes(3)
    task = TMazeDataModule(length=4, mode="L").task
    player = RolloutCollector(TMazeVectorEnv(2, length=4, mode="L"), task, 1)
    agent = PPO(task)
    rollouts = [player.collect(agent, 3) for _ in range(4)]  # ends in their midst: 4 steps and a reset
    kept = [recent.add(rollout) for rollout in rollouts]
    assert kept == [0, 2, 3, 3]
    hint = torch.cat([rollout.record["input.observation"][..., 0] for rollout in rollouts])
    paid = torch.cat([rollout.reward for rollout in rollouts])
    played = [(env, begin) for begin in (0, 5) for env in range(2)][1:]
    for episode, (env, begin) in zip(recent.episodes, played, strict=True):
        assert episode.terminated
        assert episode.arrays["observation"][:, 0].tolist() == hint[begin : begin + 4, env].tolist()
        assert episode.arrays["reward"].tolist() == paid[begin : begin + 4, env].tolist()
        assert episode.arrays["action"].dtype == np.int32
