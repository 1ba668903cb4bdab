"""Agents: they learn, need their memory, resume, are loaded and act; what does not fit together is refused."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pytorch_lightning import Callback, Trainer, seed_everything

from memup_lightning.cli.main import MemUPCLI, main
from memup_lightning.datamodules import RolloutDataModule, TMazeDataModule
from memup_lightning.datamodules.played.joint import JointDataModule, RecentEpisodes
from memup_lightning.envs import TMazeEnv, TMazeVectorEnv
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from memup_lightning.rl.agent import Agent
from memup_lightning.rl.agent_memory import FrozenMemory
from memup_lightning.rl.algorithms import IMPALA, PPO, JointPPO
from memup_lightning.rl.collectors.recorder import EpisodeRecorder
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.networks import RunningNormalizer
from memup_lightning.rl.rollouts.minibatches import iterate_minibatches
from memup_lightning.rl.wrappers import MemoryObservation
from memup_lightning.runs.statistics import mean_interval, share_interval
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.command_line import tiny
from tests.training import quiet_trainer

Run = Callable[..., MemUPCLI]
ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001}}
PHASE_2: dict[str, Any] = {
    "model": {"class_path": "PPO", "init_args": {"memory": "memory.ckpt", "optimizer": ADAM}},
    "data": {
        "class_path": "RolloutDataModule",
        "init_args": {
            "env_id": "memup/TMaze-v0",
            "env_kwargs": {"length": 30},
            "num_envs": 4,
            "num_steps": 10,
            "update_epochs": 2,
            "num_minibatches": 2,
            "rollouts_per_epoch": 2,
            "num_val": 3,
            "num_test": 6,
            "success_return": 0,
        },
    },
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a subcommand of the second phase, in a folder with ``memory.ckpt`` of the first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    first, second = tiny(tmp_path), tiny(tmp_path) | PHASE_2
    second["trainer"] |= {"max_steps": 10, "val_check_interval": 5}
    second["trainer"]["callbacks"] = [*second["trainer"]["callbacks"][1:], {"class_path": "RunReport"}]
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(first))
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(second))
    cli = main(["fit", "--config", "first.yaml"])
    (Path(str(cli.trainer.log_dir)) / "checkpoints" / "last.ckpt").rename("memory.ckpt")
    return lambda subcommand, *options: main([subcommand, "--config", "second.yaml", *options])


def last(cli: MemUPCLI) -> str:
    return str(Path(str(cli.trainer.log_dir)) / "checkpoints" / "last.ckpt")


def test_two_phases_through_the_command_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    cli = run("fit")
    frozen = torch.load("memory.ckpt", weights_only=True)["state_dict"]
    for name, x in cli.model.memory.core.state_dict().items():
        assert torch.equal(x, frozen[f"memory.{name}"]), "the memory must stay as it is"
    summary = json.loads((Path(str(cli.trainer.log_dir)) / "summary.json").read_text())
    assert summary["updates"] == 10
    assert summary["environment_steps"] == 3 * 40  # two updates of the third rollout
    assert {"val/return", "val/success", "train/kl", "train/entropy"} <= summary["metrics"].keys()
    run("test", "--ckpt_path", last(cli))
    assert "6 episodes: return" in capsys.readouterr().out
    played = run("predict", "--ckpt_path", last(cli))
    with (Path(str(played.trainer.log_dir)) / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert all((float(row["return"]) > 0) == float(row["success"]) for row in rows)


def test_a_resumed_agent_continues_where_it_was(run: Run) -> None:
    first = run("fit", "--trainer.max_steps=5")
    resumed = run("fit", "--ckpt_path", last(first), "--model.init_args.optimizer.init_args.lr=0.5")
    assert resumed.trainer.global_step == 10
    assert resumed.trainer.optimizers[0].param_groups[0]["lr"] == 0.5
    assert resumed.datamodule.environment_steps == 80 + 2 * 40  # the rest of the second rollout is played again
    assert resumed.datamodule.consumed == 10


def test_the_same_seed_gives_the_same_agent(run: Run) -> None:
    first, second = run("fit"), run("fit")
    for before, after in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(before, after)


def test_an_agent_is_loaded_from_its_checkpoint_alone_and_acts_as_in_training(run: Run) -> None:
    path = last(run("fit"))
    shown, _ = MemoryObservation(TMazeEnv(length=6), "memory.ckpt").reset(seed=1)
    model = MemUP.load_from_checkpoint("memory.ckpt")
    assert np.allclose(shown[3:], model.encode_step({"observation": shown[None, :3]})[0][0], atol=1e-6)
    with pytest.raises(MemUPError, match=r"it holds .*PPO"):
        MemoryObservation(TMazeEnv(length=6), path)
    Path("memory.ckpt").unlink()
    agent = Agent.load(path)
    player = RolloutCollector(TMazeVectorEnv(3, length=6), agent.model.task, seed=5)
    rollout = player.collect(agent.model, 20)
    actions, m = rollout.record["action"], rollout.record["memory"]
    state = agent.initial_state(3)
    for t in range(20):
        reward = rollout.reward[t - 1] if t else 0.0
        seen = rollout.record["input.observation"][t].numpy()
        inputs, first = agent._read(seen, state, reward, rollout.is_first[t].numpy())
        assert torch.allclose(agent.model.encode_memory(inputs, state.memory, first)[1], m[t], atol=1e-5)
        outcomes = agent.predict_outcomes(seen, state, reward, rollout.is_first[t].numpy())
        assert outcomes.shape == (3, 2)
        assert np.isfinite(outcomes).all()
        _, state = agent.act(seen, state, reward, rollout.is_first[t].numpy())
        state = state._replace(action=actions[t])  # the one that was drawn in the rollout


def test_an_agent_plays_one_environment_without_a_first_dimension(run: Run) -> None:
    agent = Agent.load(last(run("fit")))
    env = gymnasium.make("memup/TMaze-v0", length=7, mode="L")
    observation, _ = env.reset(seed=1)
    state, reward, over, steps = agent.initial_state(), 0.0, False, 0
    while not over:
        assert agent.predict_outcomes(observation, state, reward).shape == (2,)
        action, state = agent.act(observation, state, reward)
        observation, reward, over, _, _ = env.step(action)  # type: ignore[assignment]
        steps += 1
    assert steps == 7
    with pytest.raises(MemUPError, match="of 2 environments"):
        agent.act(np.zeros((3, 3), np.float32), agent.initial_state(2))


class Numbers(gymnasium.Env[Any, Any]):
    """Shows class numbers that do not begin at 0."""

    observation_space = gymnasium.spaces.Dict(
        {
            "one": gymnasium.spaces.Discrete(3, start=5),
            "two": gymnasium.spaces.MultiDiscrete([2, 4], start=[1, 7]),
        }
    )
    action_space = gymnasium.spaces.Discrete(2, start=-1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 1.0, True, False, {}


def test_an_agent_reads_class_numbers_as_its_rollouts_did(run: Run) -> None:
    gymnasium.register("Numbers-v0", Numbers)
    numbers = ["--data.init_args.env_id=Numbers-v0", "--data.init_args.env_kwargs={}", "--model.init_args.memory=null"]
    agent = Agent.load(last(run("fit", *numbers)))
    env = Numbers()
    observation, _ = env.reset(seed=1)
    inputs, _ = agent._read(observation, agent.initial_state(), 0.0, None)
    assert inputs["observation.one"].tolist() == [observation["one"] - 5]
    assert inputs["observation.two"].tolist() == [(observation["two"] - [1, 7]).tolist()]
    action, _ = agent.act(observation, agent.initial_state())
    env.step(action)


def test_an_agent_reads_images_as_its_rollouts_did() -> None:
    fields = {"observation": FieldSpec((20, 16, 3), "uint8", "image"), "action": FieldSpec((), "int32", "token", 2)}
    task = TaskSpec(fields | {"reward": FieldSpec()}, {"observation": 0, "action": 1, "reward": 1}, ("observation",))
    agent = Agent(PPO(task))
    frame = np.random.default_rng(0).integers(0, 256, (20, 16, 3), np.uint8)
    for shown in (frame, frame.transpose(2, 0, 1)):
        inputs, _ = agent._read(shown, agent.initial_state(), 0.0, None)
        np.testing.assert_array_equal(inputs["observation"][0].numpy(), frame)
    with pytest.raises(MemUPError, match=r"shapes .*\[1, 16, 20, 3\].* takes .*\[1, 20, 16, 3\]"):
        agent.act(frame.transpose(1, 0, 2), agent.initial_state())


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


def test_an_episode_is_drawn_with_predicted_outcomes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path = last(run("fit"))
    film = ["--trainer.callbacks+=EpisodeFilm", "--trainer.callbacks.frames=3"]
    cli = run("test", "--ckpt_path", path, *film, "--data.init_args.env_kwargs.mode=L")
    assert "an episode of 30 steps" in capsys.readouterr().out
    with Image.open(Path(str(cli.trainer.log_dir)) / "episode.gif") as picture:
        assert picture.n_frames > 10  # type: ignore[attr-defined]
    record = EpisodeRecorder(cli.model, 100).play(cli.datamodule)
    assert record.predicted_outcome is not None
    assert record.predicted_outcome.shape == record.probability.shape == (30, 2)
    assert record.reward[:-1].tolist() == [0.0] * 29
    assert record.reward[-1] in (4.0, -3.0)
    assert record.observation[:, 1].tolist() == [0.0] * 29 + [1.0]
    with pytest.raises(MemUPError, match="longer than max_steps=7"):
        EpisodeRecorder(cli.model, 7).play(cli.datamodule)


def test_what_an_update_saves_is_measured_where_a_core_learns_and_where_none_does(run: Run) -> None:
    saved = {}
    for memory in ("memory.ckpt", "LSTM"):
        cli = run("fit", f"--model.init_args.memory={memory}", "--trainer.callbacks+=MemoryUsage")
        saved[memory] = json.loads((Path(str(cli.trainer.log_dir)) / "summary.json").read_text())["saved_tensor_bytes"]
    assert 0 < saved["memory.ckpt"] < saved["LSTM"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.init_args.memory=runs/nothing.ckpt"], "nothing.ckpt: no such file"),
        (["--model.init_args.memory=empty"], "empty: there is no intact checkpoint in this folder"),
        (["--model=IMPALA", "--model.init_args.rho_clip=0"], "rho_clip=0"),
        (["--data=JointDataModule"], "JointDataModule trains JointPPO, not PPO"),
        (
            ["--data=JointDataModule", "--data.init_args.selector=Explainable"],
            "selector=Explainable needs context clusters",
        ),
        (["--model.init_args.memory=memroy.ckpt"], "memroy.ckpt: no such file"),
        (["--model.init_args.memory=LSTMM"], "LSTMM.*did you mean.*LSTM"),
        (
            ["--data.init_args.env_id=CartPole-v1", "--data.init_args.env_kwargs={}"],
            r"reads .*vector \[3\].*gives.*\[4\]",
        ),
        (["--data.init_args.num_minibatches=500"], "minibatches=500: a rollout has only 40 rows"),
        (["--data.init_args.num_steps=0"], "steps=0: must be at least 1"),
        (["--model.init_args.clip_range=0"], "clip_range=0"),
        (["--data=TMazeDataModule"], "give it a RolloutDataModule, not TMazeDataModule"),
        (["--model=MemUP", "--model.init_args.memory=LSTM"], "not with MemUP"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    run: Run, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    with pytest.raises(SystemExit):
        run("fit", *options)
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: ")
    assert re.search(message, error), error


def test_an_action_space_that_cannot_be_played_is_refused() -> None:
    class Binary(gymnasium.Env[Any, Any]):
        observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.MultiBinary(3)

    gymnasium.register("Binary-v0", Binary)
    with pytest.raises(MemUPError, match="cannot be played"):
        _ = RolloutDataModule("Binary-v0").task


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


def test_intervals() -> None:
    low, high = share_interval(torch.ones(200))
    assert high == pytest.approx(1.0)
    assert low == pytest.approx(1 / (1 + 1.959964**2 / 200))  # Wilson, all hits
    values = torch.arange(100.0)
    low, high = mean_interval(values)
    assert (low + high) / 2 == pytest.approx(49.5)
    assert high - low == pytest.approx(2 * 1.959964 * float(values.std()) / 10)
