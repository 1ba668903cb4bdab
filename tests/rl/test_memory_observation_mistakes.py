"""A memory that does not fit the environment that it wraps is refused with what differs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from memup_lightning import LSTM, MemoryObservation, MemUP, MemUPError, TaskSpec, VectorMemoryObservation
from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.envs import TMazeEnv
from memup_lightning.rl.wrappers import frozen
from memup_lightning.runs.checkpoints.files import AtomicCheckpointIO
from tests.rl.wrapped_walk import FLAT, OBSERVATIONS, Walk, memory_of


def refused(env: gymnasium.Env[Any, Any], memory: Any, message: str) -> None:
    with pytest.raises(MemUPError, match=message):
        MemoryObservation(env, memory)


def test_an_environment_of_other_spaces_than_in_training_is_refused() -> None:
    model = memory_of(Walk())
    refused(
        Walk("number"), model, r"trained on action \(3 classes, lag 1\), observation \(vector \[2\], lag 0\).*5 classes"
    )
    refused(Walk("flat", "box"), model, r"differs in action; wrap the environment that the memory was trained on")
    refused(Walk("dict"), model, "differs in observation; wrap the environment")


def test_a_refusal_names_the_run_that_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "load_memory", lambda path: memory_of(Walk()))
    for run in ("version_0", "version_1"):
        content = {"state_dict": {"weight": torch.zeros(1)}, "global_step": 10}
        AtomicCheckpointIO().save_checkpoint(content, tmp_path / run / "checkpoints" / "last.ckpt")
    refused(Walk("dict"), tmp_path, r"^the memory of \S+/version_1 was trained .*; give the folder of another run, or")


@pytest.mark.parametrize(
    ("trained_on", "warned"),
    [
        ("CartPole-v0", True),
        ("CartPole-v1", False),
        ("gymnasium:CartPole-v1", False),
        ("CartPole", False),
        (None, False),
    ],
)
def test_a_memory_of_another_environment_with_equal_spaces_is_warned_of(
    trained_on: str | None, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single, several = gymnasium.make("CartPole-v1"), gymnasium.make_vec("CartPole-v1", num_envs=2)
    monkeypatch.setattr(frozen, "load_memory", lambda path: memory_of(single))
    folder = tmp_path / "version_0"
    content = {"state_dict": {"weight": torch.zeros(1)}, "global_step": 10}
    AtomicCheckpointIO().save_checkpoint(content, folder / "checkpoints" / "last.ckpt")
    data = {"class_path": "GymnasiumDataModule", "init_args": {"env_id": trained_on} if trained_on else {}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    with pytest.warns(UserWarning, match="trained on CartPole-v0, and wraps CartPole-v1") if warned else nullcontext():
        MemoryObservation(single, folder)
        VectorMemoryObservation(several, folder)
    single.close()
    several.close()


def test_a_memory_of_some_entries_reads_these() -> None:
    maze = TMazeEnv(length=5)
    task = agent_task(maze.observation_space, maze.action_space, "maze", observed=[2])
    model = MemUP(task, memory=partial(LSTM, hidden_size=4))
    shown, _ = MemoryObservation(maze, model).reset(seed=1)
    m, _ = model.encode_step({"observation": shown[None, 2:3]})
    np.testing.assert_allclose(shown[3:], m[0], atol=1e-6)
    other = agent_task(maze.observation_space, maze.action_space, "maze", observed=[1])
    with pytest.raises(MemUPError, match=r"entries of observation is \(1,\) in the data and \(2,\) in the model"):
        task.check_same_fields(other)


def test_a_memory_of_arrays_or_of_longer_lags_is_refused() -> None:
    field = Walk().observation_space
    arrays = TaskSpec({"x": memory_of(Walk()).task.fields["observation"]}, {"x": 0}, ("x",))
    refused(Walk(), MemUP(arrays), "trained on x .* differs in x")
    fields = agent_task(field, Walk().action_space, "env").fields
    far = TaskSpec(fields, {"observation": 0, "action": 2}, ("observation",))
    refused(Walk(), MemUP(far), "'action' is read with a lag of 2")


@pytest.mark.parametrize(
    ("given", "message"),
    [("nowhere.ckpt", "nowhere.ckpt"), (3, "checkpoint is int; give the path"), (MemUP, "checkpoint is MemUP; give")],
)
def test_what_is_no_memory_is_refused(given: Any, message: str) -> None:
    refused(Walk(), given, message)


class Thousandfold(Walk):
    """The walk in another unit, from the second episode on."""

    episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.episodes += 1
        observation, info = super().reset(seed=seed, options=options)
        return observation * self.factor, info

    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        return observation * self.factor, *rest

    @property
    def factor(self) -> float:
        return 1000.0 if self.episodes > 1 else 1.0


def play(env: Any, steps: int) -> list[str]:
    """Return what is warned of while an environment is played."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env.reset(seed=1)
        for _ in range(steps):
            over = env.step(env.action_space.sample())[2:4]
            if not hasattr(env, "num_envs") and any(over):
                env.reset()
    assert all(x.filename == __file__ for x in caught)
    return [str(x.message) for x in caught]


@pytest.mark.parametrize("num_envs", [1, 3])
def test_observations_in_another_unit_are_said_once(num_envs: int) -> None:
    model = memory_of(Walk())

    def wrapped(env: Any) -> Any:
        if num_envs == 1:
            return MemoryObservation(env(), model)
        return VectorMemoryObservation(SyncVectorEnv([env] * num_envs), model)

    assert play(wrapped(Walk), 40) == []
    found = play(wrapped(Thousandfold), 40)
    assert sorted(x[:30] for x in found) == [f"'observation[{n}]' is far from its"[:30] for n in (0, 1)]
    assert "in training it was" in found[0]
    assert "is it in the same unit, and do training episodes come" in found[0]


def test_a_component_in_another_unit_is_named_by_its_entry() -> None:
    maze = TMazeEnv(length=5)
    model = MemUP(agent_task(maze.observation_space, maze.action_space, "maze", observed=[2]), memory=LSTM)
    for part in model.encoder.modules():
        if hasattr(part, "is_identity"):
            part.fit(np.random.default_rng(1).normal(3, 0.01, (50, 1)))
    with pytest.warns(UserWarning, match=r"'observation\[2\]' is far from its training data"):
        MemoryObservation(maze, model).reset(seed=1)


def test_an_entry_of_the_same_name_is_refused() -> None:
    env = Walk("dict")
    model = memory_of(env)
    env.observation_space = spaces.Dict({**OBSERVATIONS["dict"].spaces, "memory": FLAT})  # type: ignore[attr-defined]
    refused(env, model, "entry 'memory' already")


def test_numbers_that_are_not_finite_and_steps_before_a_reset_are_refused() -> None:
    env = MemoryObservation(Walk(), memory_of(Walk()))
    with pytest.raises(MemUPError, match=r"call reset\(\)"):
        env._memory.act(2, 0.0)
    env.reset(seed=1)
    env.unwrapped.observation_space.sample = lambda: np.array([0, np.nan])  # type: ignore[method-assign]
    with pytest.raises(MemUPError, match="environment 0 gave nan"):
        env.step(2)


def baselines() -> Any:
    """A vector environment of Stable-Baselines3, as far as the wrappers look at it."""
    base = type("VecEnv", (), {"__module__": "stable_baselines3.common.vec_env.base_vec_env"})
    return type("DummyVecEnv", (base,), {})()


@pytest.mark.parametrize(
    ("wrapper", "make", "said"),
    [
        (MemoryObservation, lambda: SyncVectorEnv([Walk]), "SyncVectorEnv, .*; wrap it with VectorMemoryObservation$"),
        (MemoryObservation, baselines, "DummyVecEnv, .* of Stable-Baselines3; .*wrapper_class=MemoryObservation"),
        (MemoryObservation, lambda: Walk, r"the class Walk; give an environment .* gymnasium\.Env$"),
        (VectorMemoryObservation, Walk, "Walk, a single environment; wrap it with MemoryObservation$"),
        (VectorMemoryObservation, baselines, "DummyVecEnv, .* of Stable-Baselines3; .*wrapper_class=MemoryObservation"),
        (VectorMemoryObservation, object, r"object; give a vector environment .* gymnasium\.vector\.VectorEnv$"),
    ],
)
def test_an_environment_of_another_type_is_refused_with_the_wrapper_that_takes_it(
    wrapper: Any, make: Callable[[], Any], said: str
) -> None:
    with pytest.raises(MemUPError, match=f"^{wrapper.__name__} was given {said}"):
        wrapper(make(), memory_of(Walk()))
