"""Agents through the command line: they resume, are loaded and act; what does not fit together is refused."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from PIL import Image

from memup_lightning.datamodules import RolloutDataModule
from memup_lightning.envs import TMazeEnv, TMazeVectorEnv
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP
from memup_lightning.rl.agent import Agent
from memup_lightning.rl.algorithms import PPO
from memup_lightning.rl.collectors.recorder import EpisodeRecorder
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.wrappers import MemoryObservation
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.rl.agents import Run, last


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
    with pytest.raises(MemUPError, match=r"play takes a vector environment, not .*make_vec"):
        agent.play(env, 1)  # type: ignore[arg-type]
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
        (["--model.init_args.ent_coef=-0.1"], "ent_coef=-0.1: must be at least 0"),
        (["--model.init_args.vf_coef=-1"], "vf_coef=-1.0: must be at least 0"),
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
