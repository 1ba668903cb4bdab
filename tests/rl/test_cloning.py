"""Policies from logged episodes: actions as outcomes, by MemUP and by BehaviorCloning; an Agent plays them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from pytorch_lightning import seed_everything

from memup_lightning.chunk import Chunk
from memup_lightning.datamodules import GymnasiumDataModule, RolloutDataModule, TMazeDataModule
from memup_lightning.envs import PassiveTMazeExpert, TMazeExpert
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import TBPTT, MemUP
from memup_lightning.rl.action_outcomes import action_outcome, actions_of, outcomes_of, predicts_actions
from memup_lightning.rl.agent import Agent
from memup_lightning.rl.algorithms import PPO, BehaviorCloning
from memup_lightning.rl.memory_inputs import describe_actions, to_space
from memup_lightning.rl.spaces import space_fields, space_leaves
from memup_lightning.typing import State
from tests.rl.agents import Run, last
from tests.training import Forgetful, fit_and_validate, quiet_trainer

SMALL = partial(LSTM, hidden_size=8)


def passive(length: int = 9, **given: Any) -> GymnasiumDataModule:
    """Episodes of the expert in the passive T-Maze."""
    given = {"num_train": 16, "num_val": 8, "num_test": 8, "lanes": 4, "seed": 1} | given
    expert = PassiveTMazeExpert()
    return GymnasiumDataModule(
        "memup/PassiveTMaze-v0", {"length": length}, policy=expert, outcome="action", eval_at="last", **given
    )


def success(agent: Agent, length: int, name: str = "PassiveTMaze", episodes: int = 100, **given: Any) -> float:
    """Share of episodes that end with the right turn."""
    env = gymnasium.make_vec(f"memup/{name}-v0", num_envs=episodes, length=length, **given)
    return float(np.mean([result.episode_return > 0 for result in agent.play(env, episodes, seed=7)]))


def cut(agent: Agent) -> Agent:
    """The same agent with its memory cut: its state is that of an episode's beginning at every step."""
    policy = agent.model
    encode = policy.encode_memory

    def forget(inputs: Any, state: State, is_first: torch.Tensor) -> Any:
        return encode(inputs, policy.initial_state(len(is_first)), is_first)

    policy.encode_memory = forget  # type: ignore[method-assign]
    return agent


class ForgetfulCloning(BehaviorCloning):
    """BehaviorCloning whose memory is cut: its state is zero at the beginning of every chunk."""

    def unroll(self, chunk: Chunk, state: State | None) -> tuple[torch.Tensor, State]:
        return super().unroll(chunk, None)


@pytest.mark.learning
@pytest.mark.parametrize(("model_class", "learns"), [(MemUP, True), (Forgetful, False)])
def test_an_experts_turns_are_cloned_across_chunks_and_not_with_the_memory_cut(
    model_class: type[MemUP], learns: bool
) -> None:
    seed_everything(1)
    data = passive(20, num_train=256, num_val=64, chunk_length=5, evaluation_chunk_length=5, lanes=64)
    model = model_class(data.task, memory=partial(LSTM, hidden_size=32))
    metrics = fit_and_validate(model, data, 300, every=10**6, settle=20, max_wait=40)
    assert metrics["val/local_accuracy"] < 0.75, "the flag alone does not show which way to turn"
    if learns:
        assert metrics["val/accuracy"] == success(Agent(model), 20) == 1
    else:
        assert max(metrics["val/accuracy"], success(cut(Agent(model)), 20)) < 0.75


@pytest.mark.learning
def test_an_expert_is_cloned_on_a_memory_of_rewards_and_not_with_the_memory_cut() -> None:
    seed_everything(1)
    stream: dict[str, Any] = {"chunk_length": 5, "evaluation_chunk_length": 5, "lanes": 64, "num_val": 64, "seed": 1}
    mazes = TMazeDataModule(20, "LN", num_train=256, **stream)
    memory = MemUP(mazes.task, memory=partial(LSTM, hidden_size=32))
    fit_and_validate(memory, mazes, 300, every=10**6, settle=20, max_wait=40)
    learned = {name: x.clone() for name, x in memory.memory.state_dict().items()}
    kwargs = {"length": 20, "mode": "LN"}
    data = GymnasiumDataModule(
        "memup/TMaze-v0", kwargs, policy=TMazeExpert(), outcome="action", eval_at="last", num_train=256, **stream
    )
    for model_class in (BehaviorCloning, ForgetfulCloning):
        policy = model_class(data.task, memory)  # type: ignore[arg-type] # in Python an object will do
        trainer = quiet_trainer(300, [], val_check_interval=300, check_val_every_n_epoch=None)
        trainer.fit(policy, data)
        accuracy = float(trainer.callback_metrics["val/accuracy"])
        if model_class is BehaviorCloning:
            assert all(torch.equal(x, learned[name]) for name, x in policy.memory.state_dict().items())
            assert accuracy == success(Agent(policy), 20, "TMaze", mode="LN") == 1
        else:
            assert max(accuracy, success(cut(Agent(policy)), 20, "TMaze", mode="LN")) < 0.75


def test_neither_memory_nor_context_reads_the_action_that_is_predicted() -> None:
    data = passive()
    assert "action" not in data.task.context
    assert data.task.inputs["action"] == 1
    model = MemUP(data.task, memory=SMALL)
    data.setup("fit")
    episode = data.sources["train"].read(0, 0, 8)
    assert episode["outcome"].tolist() == episode["action"].tolist() == [0] * 7 + [episode["action"][-1]]
    other = episode | {"action": (episode["action"] + 1) % 4}
    same, changed = model.encode([episode, other])
    assert np.array_equal(same[0], changed[0])
    assert not np.array_equal(same[1], changed[1]), "from the next step on"


@pytest.mark.parametrize(
    ("space", "classes"),
    [
        (spaces.Discrete(3, start=-1), 3),
        (spaces.MultiDiscrete([2, 5], start=[1, 3]), 10),
        (spaces.MultiDiscrete(np.array([[2, 3], [3, 2]])), 36),
        (spaces.MultiBinary(3), 8),
        (spaces.MultiBinary((2, 2)), 16),
        (spaces.Box(-2, 3, (2,)), 0),
        (spaces.Box(-2, 3, (2, 2)), 0),
    ],
)
def test_actions_become_outcomes_and_actions_again(space: gymnasium.Space[Any], classes: int) -> None:
    space.seed(1)
    given = np.stack([space.sample() for _ in range(50)])
    field, outcome = space_fields("action", space)["action"], action_outcome(space, "some env")
    assert outcome.classes == classes
    outcomes = outcomes_of(space_leaves("action", space, given)["action"], field, outcome)
    back = actions_of(torch.from_numpy(outcomes), field)
    np.testing.assert_allclose(to_space(describe_actions(space), back), given, rtol=1e-6)
    assert not outcome.names or outcome.names[outcomes[0]].count(" & ") == np.size(given[0]) - 1


class Levers(gymnasium.Env[Any, Any]):
    """Wants the numbers that it showed at its first step, at its last; they are the actions' classes."""

    observation_space = spaces.Box(-1, 10, (3,))

    def __init__(self, action_space: gymnasium.Space[Any] | None = None) -> None:
        self.action_space = action_space or spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        self.wanted = self.np_random.integers([2, 3])
        return np.array([*self.wanted, 0], np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        over = self.time == 3
        return (
            np.array([0, 0, self.time], np.float32),
            float(over and np.array_equal(action, self.wanted)),
            over,
            False,
            {},
        )


@pytest.mark.parametrize(
    "space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Box(-1, 1, (2,)), spaces.Discrete(3, start=4)]
)
@pytest.mark.parametrize("greedy", [True, False])
@pytest.mark.parametrize("window", [1, 3])
def test_a_policy_of_any_space_learns_and_plays_as_it_predicts(
    space: gymnasium.Space[Any], greedy: bool, window: int
) -> None:
    gymnasium.register("Levers-v0", Levers)
    data = GymnasiumDataModule(
        "Levers-v0", {"action_space": space}, outcome="action", num_train=8, num_val=4, lanes=4, window=window, seed=1
    )
    model = TBPTT(data.task, memory=SMALL)
    quiet_trainer(2, [], limit_val_batches=0).fit(model, data)
    agent = Agent(model, data.state_dict()["actions"])
    assert all(p.requires_grad for p in model.parameters()), "it may go on learning"
    results = agent.play(gymnasium.make_vec("Levers-v0", num_envs=4, action_space=space), 8, greedy=greedy)
    assert [result.length for result in results] == [3] * 8
    (chunk,) = list(data.val_dataloader())[:1]
    assert isinstance(chunk, Chunk)
    with torch.no_grad():
        m, _ = model.eval().unroll(chunk, None)
        predicted = model.outcome.predict(model.predict_outcomes(chunk.windows(window), m))
    state = agent.initial_state(4)
    for t in range(3):
        reward = chunk.inputs["reward"][:, t].numpy()
        action, state = agent.act(chunk.inputs["observation"][:, t].numpy(), state, reward)
        wanted = to_space(agent.actions, actions_of(predicted[:, t], data.task.fields["action"]))
        np.testing.assert_allclose(action, wanted, atol=1e-5)
        assert all(space.contains(x) for x in action)
        if t < 2:
            state = state._replace(action=chunk.inputs["action"][:, t + 1])  # the recorded one


def test_a_policy_of_two_phases_through_the_command_line(run: Run) -> None:
    clone = ["--model=BehaviorCloning", "--model.init_args.memory=memory.ckpt", "--data=GymnasiumDataModule"]
    clone += ["--data.env_id=memup/TMaze-v0", "--data.env_kwargs.length=30", "--data.num_train=8", "--data.num_val=4"]
    clone += ["--data.policy=memup_lightning.envs.TMazeExpert", "--data.outcome=action", "--data.lanes=4"]
    cli = run("fit", *clone, "--trainer.max_steps=5")
    assert {"val/accuracy", "val/local_accuracy", "val/memory_gain"} <= cli.trainer.callback_metrics.keys()
    resumed = run("fit", *clone, "--ckpt_path", last(cli), "--model.optimizer.lr=0.01")
    assert resumed.trainer.global_step == 10
    frozen = torch.load("memory.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(x, frozen[f"memory.{name}"]) for name, x in resumed.model.memory.state_dict().items())
    Path("memory.ckpt").unlink()
    agent = Agent.load(str(resumed.trainer.log_dir))  # a folder will do, and needs no other file
    assert success(agent, 30, "TMaze", 3) in (0, 1 / 3, 2 / 3, 1)
    with pytest.raises(MemUPError, match=r"trained on .*vector \[3\].* this environment gives .*vector \[4\]"):
        success(agent, 9)
    with pytest.raises(MemUPError, match="outcome of each action"):
        agent.predict_outcomes(np.zeros(3, np.float32), agent.initial_state())


def test_a_memory_of_actions_serves_ppo(run: Run) -> None:
    data = GymnasiumDataModule("memup/TMaze-v0", {"length": 6}, outcome="action", num_train=4, num_val=4, lanes=4)
    agent = PPO(RolloutDataModule("memup/TMaze-v0", {"length": 6}).task, memory=MemUP(data.task, memory=SMALL))
    assert success(Agent(agent), 6, "TMaze", 2) in (0, 0.5, 1)


def test_what_holds_no_policy_is_refused(run: Run) -> None:
    with pytest.raises(MemUPError, match=r"MemUP predicts a number, not the action: no policy; .*BehaviorCloning"):
        Agent.load("memory.ckpt")
    rewards = TMazeDataModule(30, num_train=4, num_val=4)
    assert not predicts_actions(rewards.task)
    with pytest.raises(MemUPError, match=r"outcome of these data is a number; give .*outcome=action"):
        BehaviorCloning(rewards.task, "memory.ckpt")  # type: ignore[arg-type]
    with pytest.raises(MemUPError, match=r"memory=.*LSTM.* is no trained memory"):
        BehaviorCloning(passive().task, LSTM)  # type: ignore[arg-type]
    with pytest.raises(MemUPError, match=r"reads .*vector \[3\].*gives .*vector \[4\]"):
        BehaviorCloning(passive().task, "memory.ckpt")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.MultiBinary(14), "14 entries of an action of Levers-v0 have 16,384 combinations"),
        (
            spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(2)}),
            "needs one action, but .* has action.a, action.b",
        ),
    ],
)
def test_actions_that_are_no_outcome_are_refused(space: gymnasium.Space[Any], message: str) -> None:
    with pytest.raises(MemUPError, match=message):
        action_outcome(space, "Levers-v0")
